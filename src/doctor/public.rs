//! Whether clients reach the public listeners: names, TCP, TLS, health, and a WebSocket handshake as a page's browser sends it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vedfolnir_cluster::doctor::RESOLVED_WITHIN;

use super::{Check, NetOptions};
use crate::config::Config;
use crate::security::auth::client_tls;
use crate::security::proxy_protocol::Mode;
use crate::security::rules::HttpsRule;
use crate::service::Transport;

/// Each step of a connection may take this long; what takes longer is silence.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// What is read of an answer.
const BODY_BYTES_MAX: usize = 64 << 10;
const SOCKET_IO_PATH: &str = "/socket.io/?EIO=4&transport=";

/// One way for clients to come in.
struct Way {
    /// What it is called in the report.
    name: String,
    /// The setting that it comes from.
    setting: &'static str,
    /// HOST:PORT to connect to.
    address: String,
    /// What clients ask for: `Host`, and the name on the certificate.
    authority: String,
    tls: bool,
    /// Whether plain HTTP is to be refused here.
    https_only: bool,
}

pub(super) async fn examine(config: &Config, options: &NetOptions) -> Vec<Check> {
    let mut checks = Vec::new();
    for way in ways(config) {
        checks.extend(examine_way(&way, config, options).await);
    }
    checks
}

fn ways(config: &Config) -> Vec<Way> {
    let url = config.public.url.as_deref().and_then(|url| url.parse::<Uri>().ok());
    let known = url.as_ref().and_then(Uri::authority).map(ToString::to_string);
    let listener = |bind: SocketAddr, tls: bool, setting| {
        let address = reachable(bind).to_string();
        Way {
            name: format!("{} {address}", if tls { "TLS port" } else { "port" }),
            setting,
            authority: known.clone().unwrap_or_else(|| address.clone()),
            address,
            tls,
            https_only: !tls && config.security.rules.https != HttpsRule::Plain,
        }
    };
    let mut ways = vec![listener(config.public.bind, false, "--host (WEBSOCKET_BIND) and --port (WEBSOCKET_PORT)")];
    if let Some(tls) = &config.public.tls {
        ways.push(listener(tls.bind, true, "--host (WEBSOCKET_BIND) and --tls-port (WEBSOCKET_TLS_PORT)"));
    }
    // Port 0: nobody can know it before the node has started.
    ways.retain(|way| !way.address.ends_with(":0"));
    if let (Some(url), Some(authority)) = (&url, known) {
        let tls = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        ways.push(Way {
            name: format!("public URL {url}"),
            setting: "--public-url (WEBSOCKET_PUBLIC_URL)",
            address: format!("{}:{port}", url.host().unwrap_or_default()),
            authority,
            tls,
            https_only: false,
        });
    }
    ways
}

/// Whoever listens everywhere is reached on loopback.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

async fn examine_way(way: &Way, config: &Config, options: &NetOptions) -> Vec<Check> {
    if let Err(check) = connect(way).await {
        return vec![check];
    }
    let mut checks = vec![Check::ok(&way.name, "a TCP connection opens")];
    if config.public.proxy_protocol != Mode::Off {
        let why = "only a proxy that speaks the PROXY protocol is served, as --proxy-protocol says";
        checks.push(Check::warn(&way.name, why, "examine the proxy's own address in place of this one"));
        return checks;
    }
    if way.tls {
        match secure(way, options).await {
            Ok(_) => {
                checks.push(Check::ok(format!("{}, TLS", way.name), "the certificate is trusted and names the host"))
            }
            Err(check) => {
                checks.push(check);
                return checks;
            }
        }
    }
    if let Some(path) = &config.monitoring.health {
        checks.push(health(way, options, path).await);
    }
    checks.push(handshake(way, config, options).await);
    checks
}

async fn connect(way: &Way) -> Result<TcpStream, Check> {
    let looked_up = timeout(RESOLVED_WITHIN, tokio::net::lookup_host(&way.address)).await;
    let resolved = match looked_up.map(|found| found.map(|mut found| found.next())) {
        Ok(Ok(Some(resolved))) => resolved,
        Ok(Ok(None)) => return Err(unresolved(way, "the name has no address")),
        Ok(Err(error)) => return Err(unresolved(way, &error.to_string())),
        Err(_) => return Err(unresolved(way, &format!("no word from the resolver within {RESOLVED_WITHIN:?}"))),
    };
    match timeout(STEP_TIMEOUT, TcpStream::connect(resolved)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Check::fail(
            &way.name,
            format!("{resolved} refuses: the machine is there, and nothing listens on that port"),
            format!("start the node, or see {}", way.setting),
        )),
        Ok(Err(error)) => Err(Check::fail(
            &way.name,
            format!("{resolved} cannot be reached: {error}"),
            format!("see {}", way.setting),
        )),
        Err(_) => Err(Check::fail(
            &way.name,
            format!(
                "{resolved} is silent for {STEP_TIMEOUT:?}: the packets are dropped on the way, or nothing is at that address"
            ),
            "let TCP to that port through every firewall",
        )),
    }
}

fn unresolved(way: &Way, reason: &str) -> Check {
    let why = format!("the name in {:?} does not resolve ({reason})", way.address);
    Check::fail(&way.name, why, format!("mend {}, or the DNS", way.setting))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection on which HTTP is spoken.
async fn open(way: &Way, options: &NetOptions) -> Result<Box<dyn Stream>, Check> {
    if way.tls { secure(way, options).await } else { Ok(Box::new(connect(way).await?)) }
}

async fn secure(way: &Way, options: &NetOptions) -> Result<Box<dyn Stream>, Check> {
    let what = format!("{}, TLS", way.name);
    let trust = options.trust.as_ref().map(std::fs::read).transpose();
    let config = trust
        .map_err(|error| error.to_string())
        .and_then(|pem| client_tls(pem.as_deref()).map_err(|error| error.to_string()))
        .map_err(|reason| Check::fail(&what, reason, "--trust FILE: PEM of the authorities that clients trust"))?;
    let host = way.authority.rsplit_once(':').map_or(way.authority.as_str(), |(host, _)| host);
    let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned());
    let name = name.map_err(|error| Check::fail(&what, error.to_string(), format!("mend {}", way.setting)))?;
    let stream = connect(way).await?;
    match timeout(STEP_TIMEOUT, tokio_rustls::TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(Check::warn(
            what,
            format!("no handshake as {host}: {error}"),
            "clients that trust no more than --trust and this machine stay away; `vedfolnir doctor tls` examines the files",
        )),
        Err(_) => Err(Check::fail(what, format!("no handshake within {STEP_TIMEOUT:?}"), "is it a TLS port?")),
    }
}

async fn health(way: &Way, options: &NetOptions, path: &str) -> Check {
    let what = format!("{}, {path}", way.name);
    let request = Request::get(path).header(header::HOST, &way.authority);
    match ask(way, options, request).await {
        Err(check) => check,
        Ok(answer) if answer.status.is_success() => Check::ok(what, "healthy"),
        Ok(answer) => Check::warn(
            what,
            format!("{}: {}", answer.status, answer.body),
            "what it says; a node serves once it reaches a majority of its cluster",
        ),
    }
}

async fn handshake(way: &Way, config: &Config, options: &NetOptions) -> Check {
    let websocket = config.public.transports.contains(&Transport::WebSocket);
    let kind = if websocket { "WebSocket" } else { "polling" };
    let own = format!("{}://{}", if way.tls { "https" } else { "http" }, way.authority);
    let origin = options.origin.as_ref().unwrap_or(&own);
    let what = format!("{}, {kind} from {origin}", way.name);
    let path = format!("{SOCKET_IO_PATH}{}", kind.to_ascii_lowercase());
    let mut request = Request::get(path).header(header::HOST, &way.authority).header(header::ORIGIN, origin);
    if websocket {
        request = request
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            // Any 16 bytes (RFC 6455, section 4.1): nothing is cached here that they would have to tell apart.
            .header(header::SEC_WEBSOCKET_KEY, "AAECAwQFBgcICQoLDA0ODw==");
    }
    let answer = match ask(way, options, request).await {
        Ok(answer) => answer,
        Err(check) => return check,
    };
    let expected = if websocket { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
    if answer.status == expected {
        return Check::ok(what, "a client comes in");
    }
    if way.https_only && (answer.status == StatusCode::FORBIDDEN || answer.status.is_redirection()) {
        return Check::ok(what, "plain HTTP is refused, as --force-https (WEBSOCKET_FORCE_HTTPS) says");
    }
    let said = format!("{}: {}", answer.status, answer.body);
    let fix = match answer.status {
        StatusCode::FORBIDDEN => {
            "list the page's origin in --cors-allowed-origins (WEBSOCKET_CORS_ALLOWED_ORIGINS); see the security events of the log"
        }
        StatusCode::MISDIRECTED_REQUEST | StatusCode::BAD_REQUEST => {
            "list the host in --allowed-hosts (WEBSOCKET_ALLOWED_HOSTS); a proxy must pass Host, Upgrade and Connection on"
        }
        StatusCode::OK => "a proxy in between does not pass the upgrade on: HTTP/1.1, with Upgrade and Connection",
        StatusCode::SERVICE_UNAVAILABLE => {
            "the node is starting, stopping or full: see --max-connections (WEBSOCKET_MAX_CONNECTIONS) and its log"
        }
        StatusCode::TOO_MANY_REQUESTS => "this address connects too often for the rate limits: wait, or raise them",
        StatusCode::NOT_FOUND | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            "what answers is a proxy or another program: see its own log"
        }
        _ => "see the log of the node",
    };
    Check::fail(what, said, fix)
}

struct Answer {
    status: StatusCode,
    /// One line of it.
    body: String,
}

async fn ask(way: &Way, options: &NetOptions, request: http::request::Builder) -> Result<Answer, Check> {
    let stream = open(way, options).await?;
    let broken = |reason: String| {
        let fix = format!("is it this node that listens there? see {}", way.setting);
        Check::fail(&way.name, format!("what answers speaks no HTTP/1.1 ({reason})"), fix)
    };
    match timeout(STEP_TIMEOUT, exchange(stream, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(reason)) => Err(broken(reason)),
        Err(_) => Err(broken(format!("no answer within {STEP_TIMEOUT:?}"))),
    }
}

async fn exchange(stream: Box<dyn Stream>, request: http::request::Builder) -> Result<Answer, String> {
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let answered = sender.send_request(request).await.map_err(|error| error.to_string());
    let answer = match answered {
        Ok(response) => Ok(Answer { status: response.status(), body: first_line(response).await }),
        Err(reason) => Err(reason),
    };
    driver.abort();
    answer
}

/// What a person is shown of an answer.
async fn first_line(response: Response<hyper::body::Incoming>) -> String {
    const CHARS_SHOWN_MAX: usize = 200;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return String::new();
    }
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(CHARS_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_looked_for_on_loopback() {
        let reached = |bind: &str| bind.parse::<SocketAddr>().map(|bind| reachable(bind).to_string());
        assert_eq!(reached("0.0.0.0:5000").as_deref(), Ok("127.0.0.1:5000"));
        assert_eq!(reached("[::]:5000").as_deref(), Ok("[::1]:5000"));
        assert_eq!(reached("10.0.0.1:5000").as_deref(), Ok("10.0.0.1:5000"));
    }
}
