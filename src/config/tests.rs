//! One line for every refusal, and defaults that start.

use std::time::Duration;

use vedfolnir_cluster::ClusterTls;

use super::value::{check_host_port, parse_duration, parse_size};
use super::{LogFormat, Settings};

fn refusal(change: impl FnOnce(&mut Settings)) -> String {
    let mut settings = Settings::default();
    change(&mut settings);
    let line = settings.validate().expect_err("the setting is refused").to_string();
    assert!(!line.contains('\n'), "one line: {line}");
    line
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn nothing_set_is_a_single_node_on_loopback() {
    let config = Settings::default().validate().expect("the defaults are valid");
    assert_eq!(config.public.bind.to_string(), "127.0.0.1:5000");
    assert_eq!(config.cluster.bind.to_string(), "127.0.0.1:5001");
    assert_eq!(config.admin_bind.to_string(), "127.0.0.1:5002");
    assert!(config.relay);
    assert!(config.cluster.bootstrap.is_empty());
    assert!(matches!(config.cluster.tls, ClusterTls::InsecureLoopback));
    assert_eq!(config.cluster.limits.recovery_window, Duration::from_secs(120));
}

#[test]
fn empty_text_is_unset() {
    let settings = Settings { port: some(""), bootstrap: some(" "), relay: some(""), ..Settings::default() };
    let config = settings.validate().expect("empty means unset");
    assert_eq!(config.public.bind.port(), 5000);
    assert!(config.cluster.bootstrap.is_empty());
}

#[test]
fn production_turns_the_relay_off_unless_asked_for() {
    let quiet = Settings { production: some("True "), ..Settings::default() }.validate().expect("valid");
    assert!(quiet.production && !quiet.relay);
    assert_eq!(quiet.log.format, LogFormat::Json);
    let asked = Settings { production: some("1"), relay: some("on"), ..Settings::default() }.validate().expect("valid");
    assert!(asked.relay);
}

#[test]
fn a_refusal_names_setting_value_reason_and_form() {
    assert_eq!(
        refusal(|settings| settings.port = some("70000")),
        "--port (WEBSOCKET_PORT) = \"70000\" is refused: out of range; accepted: a whole number from 0 to 65535"
    );
    for (line, parts) in [
        (refusal(|s| s.relay = some("tru")), ["WEBSOCKET_RELAY", "tru", "on, off"]),
        (refusal(|s| s.host = some("not a host\n")), ["WEBSOCKET_HOST", "not a host", "127.0.0.1"]),
        (refusal(|s| s.bootstrap = some("a:1,b")), ["WEBSOCKET_CLUSTER_BOOTSTRAP", "\"b\"", "port is missing"]),
        (
            refusal(|s| s.cluster_addr = some("0.0.0.0:5001")),
            ["WEBSOCKET_CLUSTER_ADDR", "without certificates", "cert init"],
        ),
        (refusal(|s| s.admin_addr = some("0.0.0.0:5002")), ["WEBSOCKET_ADMIN_ADDR", "0.0.0.0:5002", "loopback"]),
        (refusal(|s| s.tls_ca = some("/nowhere.pem")), ["--tls-ca", "/nowhere.pem", "cannot be read"]),
        (refusal(|s| s.recovery_window = some("0")), ["WEBSOCKET_RECOVERY_WINDOW", "out of range", "1s"]),
        (refusal(|s| s.history_age = some("60s")), ["WEBSOCKET_HISTORY_AGE", "60s", "recovery window"]),
        (refusal(|s| s.history_size = some("100XB")), ["WEBSOCKET_HISTORY_SIZE", "100XB", "MiB"]),
        (refusal(|s| s.voters_max = some("4")), ["WEBSOCKET_CLUSTER_VOTERS_MAX", "even", "odd"]),
        (refusal(|s| s.format_version = some("3")), ["VEDFOLNIR_FORMAT_VERSION", "out of range", "from 1 to 2"]),
        (refusal(|s| s.format_version = some("0")), ["VEDFOLNIR_FORMAT_VERSION", "out of range", "from 1 to 2"]),
        (refusal(|s| s.heartbeat = some("100ms")), ["WEBSOCKET_CLUSTER_ELECTION_MIN", "150ms", "twice"]),
        (refusal(|s| s.election_max = some("150ms")), ["WEBSOCKET_CLUSTER_ELECTION_MAX", "collide", "more than"]),
        (refusal(|s| s.log.log_level = some("LOUD")), ["WEBSOCKET_LOG_LEVEL", "LOUD", "critical"]),
        (refusal(|s| s.log.log_format = some("xml")), ["WEBSOCKET_LOG_FORMAT", "xml", "bunyan"]),
        (refusal(|s| s.replace_after = some("2s")), ["WEBSOCKET_CLUSTER_REPLACE_AFTER", "2s", "node-down-after"]),
        (refusal(|s| s.public_url = some("ftp://x")), ["WEBSOCKET_PUBLIC_URL", "ftp://x", "https://"]),
    ] {
        for part in parts {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
    }
}

#[test]
fn certificates_come_all_or_none() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "x").expect("written");
    let line = refusal(|settings| settings.tls_ca = file.to_str().map(str::to_owned));
    assert!(line.starts_with("--tls-cert (WEBSOCKET_CLUSTER_TLS_CERT_FILE) is missing"), "{line}");
}

/// A token of no cluster, in the right form.
const TOKEN: &str = "vfjoin1_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQ";

fn with_token(text: &str, change: impl FnOnce(&mut Settings)) -> Result<ClusterTls, String> {
    let mut settings = Settings {
        join_token: Some(text.to_owned().into()),
        bootstrap: some("a:1"),
        data_dir: some("/nowhere/data"),
        ..Settings::default()
    };
    change(&mut settings);
    settings.validate().map(|config| config.cluster.tls).map_err(|error| error.to_string())
}

#[test]
fn a_join_token_is_refused_without_being_shown() {
    for (text, reason) in [("garbage", "no join token"), (TOKEN, "cut off or mistyped")] {
        let line = with_token(text, |_| ()).expect_err("refused");
        assert!(line.starts_with("--join-token (WEBSOCKET_CLUSTER_JOIN_TOKEN)") && line.contains(reason), "{line}");
        assert!(!line.contains(text), "{line}");
    }
    let line = with_token("garbage", |s| s.tls_ca = some("x.pem")).expect_err("refused");
    assert!(line.contains("certificates of its own"), "{line}");
    assert!(
        !format!("{:?}", Settings { join_token: Some("garbage".to_owned().into()), ..Settings::default() })
            .contains("garbage")
    );
}

#[test]
fn a_join_token_file_is_read_and_both_are_too_many() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "garbage\n").expect("written");
    let path = file.to_str().map(str::to_owned);
    let line = with_token("", |s| s.join_token_file = path.clone()).expect_err("refused");
    assert!(line.starts_with("--join-token-file (WEBSOCKET_CLUSTER_JOIN_TOKEN_FILE)"), "{line}");
    let line = with_token("x", |s| s.join_token_file = path).expect_err("refused");
    assert!(line.contains("one of the two"), "{line}");
    let line = with_token("", |s| s.join_token_file = some("/nowhere/token")).expect_err("refused");
    assert!(line.contains("/nowhere/token") && line.contains("cannot be read"), "{line}");
}

#[test]
fn a_restart_needs_no_token() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("tls")).expect("created");
    std::fs::write(directory.path().join("tls/cert.pem"), "x").expect("written");
    let data_dir = directory.path().to_str().map(str::to_owned);
    for text in ["", "garbage"] {
        let tls = with_token(text, |s| s.data_dir = data_dir.clone()).expect("valid");
        assert!(matches!(tls, ClusterTls::DataDir { token: None }), "{tls:?}");
    }
}

#[test]
fn an_unspecified_cluster_address_needs_one_to_advertise() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("x.pem");
    std::fs::write(&file, "x").expect("written");
    let path = file.to_str().map(str::to_owned);
    let settings = Settings {
        cluster_addr: some("0.0.0.0:5001"),
        tls_ca: path.clone(),
        tls_cert: path.clone(),
        tls_key: path,
        ..Settings::default()
    };
    let line = settings.validate().expect_err("refused").to_string();
    assert!(line.starts_with("--cluster-advertise (WEBSOCKET_CLUSTER_ADVERTISE) is missing"), "{line}");
    let advertised = Settings { cluster_advertise: some("node-1.example:5001"), ..settings.clone() };
    assert_eq!(advertised.validate().expect("valid").cluster.advertise.as_deref(), Some("node-1.example:5001"));
    let unspecified = Settings { cluster_advertise: some("0.0.0.0:5001"), ..settings };
    assert!(unspecified.validate().is_err());
}

#[test]
fn bootstrap_expect_is_more_than_half_of_the_list() {
    let expect = |list: &str, number: &str| {
        Settings { bootstrap: some(list), bootstrap_expect: some(number), ..Settings::default() }
            .validate()
            .map(|config| config.cluster.bootstrap_expect)
            .map_err(|error| error.to_string())
    };
    assert_eq!(expect("a:1,b:1,c:1", "3"), Ok(Some(3)));
    assert_eq!(expect("a:1,b:1", "3"), Ok(Some(3)), "the node itself need not be listed");
    assert_eq!(expect("a:1,b:1,c:1", "2"), Ok(Some(2)));
    assert_eq!(expect("", "1"), Ok(Some(1)));
    assert!(expect("a:1,b:1,c:1,d:1", "2").is_err_and(|line| line.contains("two clusters could form")));
    assert!(expect("a:1", "3").is_err_and(|line| line.contains("at most 2 nodes")));
    assert!(expect("", "3").is_err());
    assert_eq!(expect("a:1,a:1,b:1", "2"), Ok(Some(2)), "an address listed twice counts once");
}

#[test]
fn values_have_units() {
    assert_eq!(parse_duration("300"), Some(Duration::from_secs(300)));
    assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    for bad in ["", "5x", "m", "-1", "1.5s", "99999999999999999999s", "5m3"] {
        assert_eq!(parse_duration(bad), None, "{bad:?}");
    }
    assert_eq!(parse_size("100MB"), Some(100_000_000));
    assert_eq!(parse_size("100 MiB"), Some(100 << 20));
    for bad in ["", "MB", "-1", "1.5MB", "99999999999GiB"] {
        assert_eq!(parse_size(bad), None, "{bad:?}");
    }
    assert!(check_host_port("[::1]:5000").is_ok());
    for bad in ["", ":1", "a", "a:", "a:70000", "::1:5000", "[::1:5000", "a b:1"] {
        assert!(check_host_port(bad).is_err(), "{bad:?}");
    }
}
