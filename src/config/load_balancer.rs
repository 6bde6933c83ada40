//! Configurations of NGINX and HAProxy that fit the nodes behind them: intervals, time-outs, paths and names are the settings'.
//!
//! A template's line that names `@ADDRESS@` stands there once for each node; a line that holds nothing but slots that are
//! empty goes.

use std::time::Duration;

use super::layers::{Inputs, Layers};
use super::problem::{ConfigError, Severity};
use super::schema::address::check_host_port;
use super::schema::{Setting, balancer, mode, monitoring, performance};
use super::values::Values;

const NGINX_HTTP: &str = include_str!("load_balancer/nginx_http.conf");
const NGINX_STREAM: &str = include_str!("load_balancer/nginx_stream.conf");
const HAPROXY_HTTP: &str = include_str!("load_balancer/haproxy_http.cfg");
const HAPROXY_TCP: &str = include_str!("load_balancer/haproxy_tcp.cfg");

/// Hosts that stand for the nodes where none are named.
const HOSTS: [&str; 3] = ["app1.example.com", "app2.example.com", "app3.example.com"];
/// What clients use where no public URL is set.
const PUBLIC_HOST: &str = "ws.example.com";
/// Beyond a ping and its pong, so that the node, which knows more, ends a dead connection before the balancer does.
const IDLE_MARGIN: Duration = Duration::from_secs(15);
/// Nodes that can be named.
const NODES_MAX: usize = 1_000;

const VERIFIED_NGINX: &str = "# The nodes' certificates name @HOST@, and this authority has signed them.
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate /etc/ssl/certs/vedfolnir-ca.pem;
    proxy_ssl_name @HOST@;
    proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;";
const COOKIE_MAPS: &str = r#"
# What a node is chosen by: the cookie, or the key in the query of clients that keep none, or the id of their session.
map $arg_sid $vedfolnir_session {
    default $arg_sid;
    ''      $request_id;
}
map $arg_@KEY@ $vedfolnir_hint {
    default $arg_@KEY@;
    ''      $vedfolnir_session;
}
map $cookie_@COOKIE@ $vedfolnir_affinity {
    default $cookie_@COOKIE@;
    ''      $vedfolnir_hint;
}
# Whoever shows none of them is given a cookie of NGINX's own, by which the node of this first request is chosen, too. NGINX cannot
# read which node a node's own cookie names; shown this one, the node sets none.
map $cookie_@COOKIE@$arg_@KEY@$arg_sid $vedfolnir_new_cookie {
    default '';
    ''      "@COOKIE@=$request_id; Path=/; HttpOnly; Secure; SameSite=Lax";
}
map $vedfolnir_new_cookie $vedfolnir_cookies {
    default "@COOKIE@=$request_id; $http_cookie";
    ''      $http_cookie;
}"#;
const COOKIE_HEADERS: &str = "add_header Set-Cookie $vedfolnir_new_cookie always;
    proxy_set_header Cookie $vedfolnir_cookies;";
const HAPROXY_COOKIE: &str =
    "# The cookie is HAProxy's own: it names the node, and one that a node sets under the same name is taken out.
    balance roundrobin
    cookie @COOKIE@ insert indirect nocache httponly secure attr \"SameSite=Lax\"";
const HAPROXY_SOURCE: &str = "# By the client's address: whoever shares one shares a node.
    balance source
    hash-type consistent";
const HAPROXY_VERIFIED: &str = "# The nodes' certificates name @HOST@, and this authority has signed them. HTTP/2 to the nodes, WebSockets inside it
    # (RFC 8441); checks are HTTP/1.1.
    default-server ssl verify required ca-file /etc/ssl/certs/vedfolnir-ca.pem verifyhost @HOST@ sni str(@HOST@) alpn h2,http/1.1 ws h2 check-alpn http/1.1 check-sni @HOST@";

/// One configuration of one balancer.
#[derive(Clone, Copy, Debug)]
pub struct LoadBalancer {
    /// `nginx` or `haproxy`.
    pub program: &'static str,
    /// How it distributes clients, as it is named on the command line.
    pub mode: &'static str,
    /// The same in a line for people.
    pub title: &'static str,
    template: &'static str,
    slots: &'static [(&'static str, &'static str)],
    /// The nodes' listener with TLS, not the plain one.
    over_tls: bool,
}

/// All of them; the first one of a program is the one to take unless there is a reason.
pub const LOAD_BALANCERS: [LoadBalancer; 10] = [
    LoadBalancer {
        program: "nginx",
        mode: "round-robin",
        title: "TLS ends here, requests go to the nodes in turn. Nothing is sticky, and nothing has to be.",
        template: NGINX_HTTP,
        slots: &[("SCHEME", "http")],
        over_tls: false,
    },
    LoadBalancer {
        program: "nginx",
        mode: "ip-hash",
        title: "TLS ends here, a client's address (IPv4: its first three numbers) chooses the node.",
        template: NGINX_HTTP,
        slots: &[("SCHEME", "http"), ("BALANCE", "ip_hash;")],
        over_tls: false,
    },
    LoadBalancer {
        program: "nginx",
        mode: "cookie",
        title: "TLS ends here, a cookie keeps a client on its node, or the key in the query.",
        template: NGINX_HTTP,
        slots: &[
            ("SCHEME", "http"),
            ("MAPS", COOKIE_MAPS),
            ("COOKIES", COOKIE_HEADERS),
            ("BALANCE", "hash $vedfolnir_affinity consistent;"),
        ],
        over_tls: false,
    },
    LoadBalancer {
        program: "nginx",
        mode: "tls",
        title: "TLS end to end: it ends here, and begins again to the nodes, in turn.",
        template: NGINX_HTTP,
        slots: &[("SCHEME", "https"), ("TLS", VERIFIED_NGINX)],
        over_tls: true,
    },
    LoadBalancer {
        program: "nginx",
        mode: "stream",
        title: "bytes go to the nodes, where TLS ends; the PROXY protocol says who the client is.",
        template: NGINX_STREAM,
        slots: &[],
        over_tls: true,
    },
    LoadBalancer {
        program: "haproxy",
        mode: "cookie",
        title: "TLS ends here, a cookie keeps a client on its node.",
        template: HAPROXY_HTTP,
        slots: &[("BALANCE", HAPROXY_COOKIE), ("OPTIONS", " cookie @NAME@")],
        over_tls: false,
    },
    LoadBalancer {
        program: "haproxy",
        mode: "source",
        title: "TLS ends here, a client's address chooses the node.",
        template: HAPROXY_HTTP,
        slots: &[("BALANCE", HAPROXY_SOURCE)],
        over_tls: false,
    },
    LoadBalancer {
        program: "haproxy",
        mode: "h2",
        title: "TLS end to end: it ends here, and begins again to the nodes, in turn and with HTTP/2.",
        template: HAPROXY_HTTP,
        slots: &[("BALANCE", "balance roundrobin"), ("TLS", HAPROXY_VERIFIED)],
        over_tls: true,
    },
    LoadBalancer {
        program: "haproxy",
        mode: "proxy-v1",
        title: "bytes go to the nodes, where TLS ends; version 1 of the PROXY protocol says who the client is.",
        template: HAPROXY_TCP,
        slots: &[("SEND_PROXY", "send-proxy")],
        over_tls: true,
    },
    LoadBalancer {
        program: "haproxy",
        mode: "proxy-v2",
        title: "bytes go to the nodes, where TLS ends; version 2 of the PROXY protocol says who the client is.",
        template: HAPROXY_TCP,
        slots: &[("SEND_PROXY", "send-proxy-v2")],
        over_tls: true,
    },
];

impl LoadBalancer {
    /// The configuration's text for `nodes` (HOST:PORT of their public listeners; empty: names under example.com).
    ///
    /// # Errors
    /// Settings that cannot be read, or that the balancer could not be told.
    pub fn configuration(&self, inputs: &Inputs, nodes: &[String]) -> Result<String, ConfigError> {
        let layers = Layers::read(inputs);
        let values = Values::new(&layers);
        let port = values.get(if self.over_tls { &mode::TLS_PORT } else { &mode::PORT });
        let nodes = match nodes {
            [] => HOSTS.iter().map(|host| format!("{host}:{port}")).collect(),
            nodes => nodes.to_vec(),
        };
        let cookie = variable(&values, &balancer::SESSION_AFFINITY_COOKIE);
        let key = variable(&values, &balancer::STICKY_SESSION_KEY);
        let health = values.given(&balancer::HEALTH_CHECK_PATH);
        let idle = values.get(&performance::PING_INTERVAL) + values.get(&performance::PING_TIMEOUT) + IDLE_MARGIN;
        let public = values.maybe(&mode::PUBLIC_URL).map_or_else(|| PUBLIC_HOST.to_owned(), |url| host_of(&url));
        let shared = [
            ("TITLE", self.title.to_owned()),
            ("MODE", self.mode.to_owned()),
            ("INTERVAL", span(values.get(&balancer::HEALTH_CHECK_INTERVAL))),
            ("TIMEOUT", span(values.get(&balancer::HEALTH_CHECK_TIMEOUT))),
            ("RETRIES", values.get(&balancer::HEALTH_CHECK_RETRIES).to_string()),
            ("HEALTH", health.unwrap_or_else(|| values.get(&monitoring::HEALTH_ENDPOINT))),
            ("IDLE", span(idle)),
            ("BODY", values.get(&performance::MAX_PAYLOAD).to_string()),
            ("COOKIE", cookie),
            ("KEY", key),
            ("HOST", public),
        ];
        let problems = values.into_problems();
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(ConfigError { problems });
        }
        // The mode's own texts first: they name others.
        let own = ["MAPS", "COOKIES", "BALANCE", "TLS", "SCHEME", "OPTIONS", "SEND_PROXY"].map(|slot| {
            let text = self.slots.iter().find(|(name, _)| *name == slot).map_or("", |(_, text)| text);
            (slot, text.to_owned())
        });
        let text = own.into_iter().chain(shared).fold(self.template.to_owned(), |text, slot| filled(&text, &slot));
        Ok(for_each_node(&text, &nodes))
    }
}

/// Finds one by program and mode; without a mode the program's first.
///
/// # Errors
/// What there is, in a line.
pub fn load_balancer(program: &str, mode: Option<&str>) -> Result<&'static LoadBalancer, String> {
    let of_program = || LOAD_BALANCERS.iter().filter(|balancer| balancer.program == program);
    let found = of_program().find(|balancer| mode.is_none_or(|mode| balancer.mode == mode));
    found.ok_or_else(|| {
        let modes: Vec<_> = of_program().map(|balancer| balancer.mode).collect();
        format!("{program} has no mode {:?}; accepted: {}", mode.unwrap_or_default(), modes.join(", "))
    })
}

/// Judges the addresses of nodes.
///
/// # Errors
/// The first one that is none, or that there are too many.
pub fn check_nodes(nodes: &[String]) -> Result<(), String> {
    if nodes.len() > NODES_MAX {
        return Err(format!("{} nodes; accepted: at most {NODES_MAX}", nodes.len()));
    }
    let judged = nodes.iter().map(|node| check_host_port(node).map_err(|reason| (node, reason)));
    match judged.collect::<Result<Vec<_>, _>>() {
        Ok(_) => Ok(()),
        Err((node, reason)) => Err(format!("--node {node:?} is refused: {reason}; accepted: HOST:PORT")),
    }
}

/// The name of a cookie or of a parameter, which both balancers must be able to name in turn.
fn variable<K>(values: &Values<'_>, setting: &Setting<K>) -> String
where
    K: super::schema::kind::Kind<Value = String>,
{
    let name = values.get(setting);
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        values.refuse(setting, "balancers have no way to name it", "letters, digits and '_'");
    }
    name
}

/// A duration as both programs read it.
fn span(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// The host of a web address, which was judged when the setting was read.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host.to_owned(),
        _ => authority.to_owned(),
    }
}

fn filled(text: &str, (name, value): &(&str, String)) -> String {
    let slot = format!("@{name}@");
    let lines = text.lines().filter(|line| !(value.is_empty() && line.trim() == slot));
    lines.map(|line| line.replace(&slot, value) + "\n").collect()
}

fn for_each_node(text: &str, nodes: &[String]) -> String {
    let mut whole = String::with_capacity(text.len());
    for line in text.lines() {
        if !line.contains("@ADDRESS@") {
            whole.push_str(line);
            whole.push('\n');
            continue;
        }
        for (index, node) in nodes.iter().enumerate() {
            whole.push_str(&line.replace("@ADDRESS@", node).replace("@NAME@", &format!("app{}", index + 1)));
            whole.push('\n');
        }
    }
    whole
}

#[cfg(test)]
#[path = "load_balancer_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
