//! The files under deploy/ are what the program prints, and its settings reach them.

use std::path::PathBuf;

use super::*;

/// Tests run in their package's directory. One that was compiled in knows only the clone that compiled it.
fn at(path: &str) -> PathBuf {
    PathBuf::from(path)
}

fn printed(program: &str, mode: &str, settings: &[(&str, &str)], nodes: &[&str]) -> Result<String, String> {
    let environment = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let inputs = Inputs { environment, ..Inputs::default() };
    let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
    load_balancer(program, Some(mode)).unwrap().configuration(&inputs, &nodes).map_err(|error| error.to_string())
}

#[test]
fn the_shipped_files_are_what_the_program_prints_for_the_production_template() {
    let inputs = Inputs { env_files: vec![at("deploy/websocket_production_config.env.example")], ..Inputs::default() };
    for balancer in &LOAD_BALANCERS {
        let end = if balancer.program == "nginx" { "conf" } else { "cfg" };
        let path = format!("deploy/{}/{}.{end}", balancer.program, balancer.mode);
        let printed = balancer.configuration(&inputs, &[]).unwrap();
        let found = std::fs::read_to_string(at(&path)).unwrap_or_default();
        assert!(
            found == printed,
            "{path} is not what `vedfolnir config lb {} {} --env-file deploy/websocket_production_config.env.example` prints",
            balancer.program,
            balancer.mode
        );
    }
}

#[test]
fn no_slot_is_left_open() {
    for balancer in &LOAD_BALANCERS {
        let text = printed(balancer.program, balancer.mode, &[], &[]).unwrap();
        for word in text.split_whitespace().filter(|word| *word != "@session" && *word != "@session;") {
            assert!(!word.contains('@'), "{} {}: {word}", balancer.program, balancer.mode);
        }
    }
}

#[test]
fn intervals_paths_and_names_are_the_settings() {
    let settings = [
        ("WEBSOCKET_HEALTH_CHECK_PATH", "/healthz"),
        ("WEBSOCKET_HEALTH_CHECK_INTERVAL", "7s"),
        ("WEBSOCKET_HEALTH_CHECK_TIMEOUT", "2500ms"),
        ("WEBSOCKET_HEALTH_CHECK_RETRIES", "4"),
        ("WEBSOCKET_PING_INTERVAL", "10"),
        ("WEBSOCKET_PING_TIMEOUT", "5"),
        ("WEBSOCKET_PUBLIC_URL", "https://live.example.org:8443/x"),
        ("WEBSOCKET_MAX_PAYLOAD", "2MB"),
    ];
    let haproxy = printed("haproxy", "source", &settings, &["10.0.0.1:5000", "[2001:db8::1]:5000"]).unwrap();
    for part in [
        "inter 7s ",
        "fall 4 rise 1",
        "timeout check 2500ms",
        "timeout tunnel 30s",
        "uri /healthz ver HTTP/1.1 hdr Host live.example.org\n",
        "    server app1 10.0.0.1:5000\n    server app2 [2001:db8::1]:5000\n",
    ] {
        assert!(haproxy.contains(part), "{part} is not in\n{haproxy}");
    }
    let nginx = printed("nginx", "ip-hash", &settings, &[]).unwrap();
    for part in [
        "server app3.example.com:5000 max_fails=4 fail_timeout=7s;",
        "proxy_connect_timeout 2500ms;",
        "proxy_read_timeout 30s;",
        "location /healthz {",
        "client_max_body_size 2000000;",
        "server_name live.example.org;",
    ] {
        assert!(nginx.contains(part), "{part} is not in\n{nginx}");
    }
}

#[test]
fn a_cookie_that_balancers_cannot_name_is_refused_and_so_are_unknown_modes_and_addresses() {
    let error = printed("nginx", "cookie", &[("WEBSOCKET_PING_INTERVAL", "soon")], &[]).unwrap_err();
    assert!(error.contains("WEBSOCKET_PING_INTERVAL"), "{error}");
    let error = load_balancer("nginx", Some("sticky")).unwrap_err();
    assert!(error.contains("round-robin, ip-hash, cookie, tls, stream"), "{error}");
    assert_eq!(load_balancer("haproxy", None).unwrap().mode, "cookie");
    let error = check_nodes(&["app1:5000".to_owned(), "app2".to_owned()]).unwrap_err();
    assert!(error.contains("\"app2\"") && error.contains("HOST:PORT"), "{error}");
    assert!(check_nodes(&["app1:5000".to_owned()]).is_ok());
}
