//! The schema, tested as a table: the generic checks on every setting; then what settings say to each other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use vedfolnir_cluster::ClusterTls;

use super::schema::address::check_host_port;
use super::schema::kind::{parse_duration, parse_size};
use super::schema::{Describe, Mode, Preset, all};
use super::*;

/// Some day in 2026.
const NOW: i64 = 1_790_000_000;

fn env(pairs: &[(&str, &str)]) -> Inputs {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Inputs { environment, now_unix: NOW, ..Inputs::default() }
}

fn loaded(pairs: &[(&str, &str)]) -> Loaded {
    load(&env(pairs)).expect("valid")
}

/// All errors, one a line.
fn refused(pairs: &[(&str, &str)]) -> String {
    load(&env(pairs)).expect_err("refused").to_string()
}

/// A text that this setting accepts, other than its default where that can be told.
fn valid(setting: &dyn Describe) -> Option<&'static str> {
    let about = setting.about();
    let candidates = [
        "false",
        "true",
        "7",
        "2",
        "3",
        "1",
        "700",
        "60s",
        "15m",
        "3h",
        "2MB",
        "80MB",
        "x/y.pem",
        "/some/path",
        "http://a.example:81",
        "a.example",
        "a.example:1",
        "10.0.0.0/8",
        "v1",
        "human",
        "TLSv1_3",
        "DEBUG",
        "rfc3164",
        "json",
        "mask",
        "sighup",
        "optional",
        "GET,POST",
        "http/protobuf",
        "none",
        "0.5",
        "always_off",
        "a=b",
        "websocket",
        "intermediate",
        "Forwarded",
        "[]",
        "{\"connection_errors\":1}",
        "0123456789abcdef0123456789abcdef",
        "allow",
        "room.vacated",
    ];
    candidates.into_iter().find(|text| setting.check(text).is_ok() && about.default.text(Mode::default()) != Some(text))
}

#[test]
fn names_options_and_keys_are_used_once() {
    let mut seen = BTreeSet::new();
    for setting in all() {
        let about = setting.about();
        for name in std::iter::once(&about.name).chain(about.other_names) {
            assert!(seen.insert((*name).to_owned()), "{name} is used twice");
        }
        assert!(seen.insert(format!("--{}", about.option)), "--{} is used twice", about.option);
        assert!(seen.insert(format!("key {}", about.key())), "{} is used twice", about.key());
        assert!(!about.help.ends_with('.') && !about.help.is_empty(), "{}", about.name);
        assert!(!about.name.ends_with("_FILE") || !about.in_file, "{}: _FILE_FILE", about.name);
    }
}

#[test]
fn every_name_of_the_production_document_is_a_setting() {
    let document = "SSL_CERT_FILE SSL_KEY_FILE SSL_CA_FILE SSL_VERSION SSL_CIPHERS FORCE_HTTPS HTTPS_REDIRECT HSTS_ENABLED \
        HSTS_MAX_AGE HSTS_INCLUDE_SUBDOMAINS LOG_LEVEL SECURITY_LOG_LEVEL PERFORMANCE_LOG_LEVEL ERROR_LOG_LEVEL LOG_FILE \
        SECURITY_LOG_FILE PERFORMANCE_LOG_FILE ERROR_LOG_FILE JSON_LOGGING STRUCTURED_LOGGING LOG_ROTATION MAX_LOG_SIZE \
        LOG_BACKUP_COUNT REMOTE_LOGGING SYSLOG_SERVER LOG_AGGREGATION_SERVICE METRICS_ENABLED METRICS_ENDPOINT \
        METRICS_FORMAT PERFORMANCE_MONITORING CONNECTION_METRICS MESSAGE_METRICS ERROR_METRICS HEALTH_CHECKS \
        HEALTH_ENDPOINT DETAILED_HEALTH ALERTING_ENABLED ALERT_WEBHOOK_URL ALERT_THRESHOLDS STATE_BACKUP BACKUP_INTERVAL \
        BACKUP_LOCATION MAX_BACKUP_FILES AUTO_RECOVERY RECOVERY_TIMEOUT RECOVERY_RETRIES PERSIST_CONNECTIONS \
        PERSIST_SUBSCRIPTIONS PERSIST_SESSION_DATA COMPRESS_BACKUPS COMPRESSION_LEVEL SESSION_AFFINITY \
        SESSION_AFFINITY_COOKIE SESSION_AFFINITY_TIMEOUT HEALTH_CHECK_PATH HEALTH_CHECK_INTERVAL HEALTH_CHECK_TIMEOUT \
        HEALTH_CHECK_RETRIES TRUST_PROXY_HEADERS PROXY_HEADERS MAX_CONNECTIONS_PER_SERVER CONNECTION_TIMEOUT \
        STICKY_SESSIONS STICKY_SESSION_KEY PRODUCTION_MODE DEBUG_MODE";
    let names: Vec<String> = document.split_whitespace().map(|name| format!("WEBSOCKET_{name}")).collect();
    assert_eq!(names.len(), 66);
    let production = template(Template::Production);
    for name in names {
        assert!(all().any(|setting| setting.about().name == name), "{name}");
        assert!(production.contains(&format!("{name}=")), "{name} is not in the production template");
    }
    for origin in
        "CORS_ORIGINS CORS_CREDENTIALS CORS_METHODS CORS_HEADERS TRANSPORTS PING_TIMEOUT PING_INTERVAL CONNECT_TIMEOUT \
        MAX_HTTP_BUFFER_SIZE CSRF_PROTECTION RATE_LIMITING MAX_CONNECTIONS_PER_USER"
            .split_whitespace()
    {
        let name = format!("SOCKETIO_{origin}");
        assert!(all().any(|setting| setting.about().other_names.contains(&name.as_str())), "{name}");
    }
}

/// G1: unset is the documented default.
#[test]
fn nothing_set_is_the_default_of_every_setting() {
    for mode in ["false", "true"] {
        let checked = check(&env(&[("WEBSOCKET_PRODUCTION_MODE", mode)]));
        let errors: Vec<_> = checked.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?}");
        for shown in checked.shown.settings.iter().filter(|shown| shown.var != "WEBSOCKET_PRODUCTION_MODE") {
            assert_eq!(shown.source, Source::Default, "{}", shown.var);
        }
    }
    for setting in all() {
        let about = setting.about();
        for mode in [Mode::default(), Mode { production: true, hardened: true }] {
            if let Some(text) = about.default.text(mode) {
                assert!(setting.check(text).is_ok(), "{} = {text}", about.name);
            } else {
                assert!(matches!(about.default, Preset::Unset(words) if !words.is_empty()), "{}", about.name);
            }
        }
        if !about.production.is_empty() {
            assert!(setting.check(about.production).is_ok(), "{} = {}", about.name, about.production);
        }
    }
}

/// G2, G3 and the ranks between: option, environment, value's file, TOML.
#[test]
fn every_setting_can_be_set_in_every_way() {
    let directory = tempfile::tempdir().unwrap();
    for setting in all().filter(|setting| setting.about().name != "WEBSOCKET_CONFIG_FILE") {
        let about = setting.about();
        let text = valid(setting).unwrap_or_else(|| panic!("no text is known for {}", about.name));
        let shown = |inputs: &Inputs| {
            let found = check(inputs).shown.settings.into_iter().find(|shown| shown.var == about.name).unwrap();
            (found.value, found.source)
        };
        let expected = Some(if about.secret { "***".to_owned() } else { text.to_owned() });
        let mut inputs = env(&[(about.name, text)]);
        let by_env = Source::Env { variable: about.name.to_owned() };
        assert_eq!(shown(&inputs), (expected.clone(), by_env), "{}", about.name);

        let file = directory.path().join("config.toml");
        std::fs::write(&file, format!("# a comment\n{} = '{text}'\n", about.key())).unwrap();
        let path = file.to_str().unwrap().to_owned();
        inputs.environment.push(("WEBSOCKET_CONFIG_FILE".to_owned(), path.clone()));
        assert!(matches!(shown(&inputs).1, Source::Env { .. }), "the environment beats the file: {}", about.name);
        inputs.environment.remove(0);
        let by_file = Source::File { path: file.clone(), line: 2 };
        assert_eq!(shown(&inputs), (expected.clone(), by_file), "{}", about.name);

        inputs.arguments.push((about.option.to_owned(), text.to_owned()));
        assert_eq!(shown(&inputs), (expected.clone(), Source::CommandLine), "{}", about.name);

        if about.in_file {
            let value = directory.path().join("value");
            std::fs::write(&value, format!("{text}\n")).unwrap();
            let variable = format!("{}_FILE", about.name);
            let by_value = env(&[(&variable, value.to_str().unwrap()), ("WEBSOCKET_CONFIG_FILE", &path)]);
            assert_eq!(shown(&by_value), (expected, Source::ValueFile { path: value }), "{}", about.name);
            let both = env(&[(&variable, "/nowhere"), (about.name, text)]);
            assert!(check(&both).problems.iter().any(|problem| problem.severity == Severity::Error), "{}", about.name);
        }
    }
}

/// G5: every malformed value is named, all in one run.
#[test]
fn all_malformed_values_are_reported_at_once() {
    let bad = "\u{1}\u{0}";
    let judged: Vec<_> = all().filter(|setting| setting.check(bad).is_err()).collect();
    assert!(judged.len() * 10 > all().count() * 9, "few kinds accept control characters");
    let pairs: Vec<_> = judged.iter().map(|setting| (setting.about().name, bad)).collect();
    let problems = check(&env(&pairs)).problems;
    for setting in judged {
        let about = setting.about();
        let problem = problems.iter().find(|problem| problem.setting == about.spelled());
        let problem = problem.unwrap_or_else(|| panic!("{} is not reported", about.name));
        assert_eq!(problem.severity, Severity::Error, "{problem}");
        assert_eq!(problem.value.as_deref() == Some("***"), about.secret, "{problem}");
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
}

/// G6: empty is unset, blanks and quotes around it, too.
#[test]
fn empty_is_unset() {
    for empty in ["", "  ", "''", "\"\""] {
        let pairs: Vec<_> = all().map(|setting| (setting.about().name, empty)).collect();
        let checked = check(&env(&pairs));
        assert!(checked.shown.settings.iter().all(|shown| shown.source == Source::Default), "{empty:?}");
    }
}

/// G7: a typo is a warning with its neighbour, in production mode an error.
#[test]
fn unknown_names_are_told_with_the_nearest_one() {
    let warned = loaded(&[("WEBSOCKET_PROT", "1")]).doubts;
    let line = warned.iter().map(ToString::to_string).collect::<String>();
    assert!(line.contains("WEBSOCKET_PROT") && line.contains("did you mean WEBSOCKET_PORT?"), "{line}");
    let line = refused(&[("WEBSOCKET_PROT", "1"), ("WEBSOCKET_PRODUCTION_MODE", "true")]);
    assert!(line.contains("WEBSOCKET_PROT") && line.contains("WEBSOCKET_PORT"), "{line}");
    let noted = loaded(&[("SOCKETIO_ASYNC_MODE", "eventlet"), ("WEBSOCKET_PRODUCTION_MODE", "true")]).doubts;
    assert!(noted.iter().any(|note| note.severity == Severity::Note && note.reason.contains("no effect")), "{noted:?}");
}

/// G8.
#[test]
fn booleans_are_the_documented_words() {
    for (text, value) in
        [("true", true), ("YES", true), ("1", true), ("on", true), ("True ", true), ("no", false), ("0", false)]
    {
        assert_eq!(loaded(&[("WEBSOCKET_RELAY", text)]).config.node.relay, value, "{text}");
    }
    assert!(refused(&[("WEBSOCKET_RELAY", "tru")]).contains("true, false"));
}

/// G9.
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

/// G10: one table is behind all lists.
#[test]
fn template_documentation_and_schema_name_the_same_settings() {
    let (docs, schema) = (markdown(), json_schema());
    for named in [Template::Development, Template::Staging, Template::Production, Template::Kubernetes] {
        let text = template(named);
        let listed: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once('=').map(|(name, _)| name))
            .collect();
        for setting in all() {
            assert!(listed.contains(setting.about().name), "{} in {named:?}", setting.about().name);
        }
    }
    for setting in all() {
        let about = setting.about();
        assert!(docs.contains(&format!("| `{}`<br>`--{}` |", about.name, about.option)), "{}", about.name);
        assert_eq!(schema["properties"][about.key()]["x-env"], about.name);
    }
    assert_eq!(schema["properties"].as_object().unwrap().len(), all().count());
}

#[test]
fn the_documentation_is_the_one_in_the_repository() {
    for (path, expected) in [
        ("docs/configuration.md", markdown()),
        ("deploy/websocket_production_config.env.example", template(Template::Production)),
        ("docs/events.md", crate::observability::logging::events_markdown()),
    ] {
        // Tests run in their package's directory.
        let file = PathBuf::from(path);
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "{path} is not what this build prints: vedfolnir config docs, config template production, config events --markdown"
        );
    }
}

#[test]
fn templates_are_valid_once_their_placeholders_are_filled() {
    let directory = tempfile::tempdir().unwrap();
    for named in [Template::Development, Template::Staging, Template::Kubernetes] {
        let file = directory.path().join("x.env");
        std::fs::write(&file, template(named)).unwrap();
        let inputs = Inputs { env_files: vec![file], now_unix: NOW, ..Inputs::default() };
        let errors = load(&inputs).err().map(|error| error.to_string());
        assert_eq!(errors, None, "{named:?}");
    }
}

#[test]
fn a_production_template_needs_its_files_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.env");
    std::fs::write(&file, template(Template::Production)).unwrap();
    let inputs = Inputs { env_files: vec![file], now_unix: NOW, ..Inputs::default() };
    let error = load(&inputs).expect_err("its files are not there");
    for problem in error.problems.iter().filter(|problem| problem.severity == Severity::Error) {
        // Who may not write to /var/backups is told so, too.
        let is_place = problem.setting.contains("WEBSOCKET_BACKUP_LOCATION");
        assert!(problem.setting.contains("_FILE)") || is_place, "{problem}");
    }
}

#[test]
fn what_this_version_does_not_have_is_refused_and_its_absence_is_not() {
    let line = refused(&[("WEBSOCKET_COMPRESSION", "true")]);
    assert!(
        line.contains("WEBSOCKET_COMPRESSION") && line.contains("messages") && line.contains("does not have"),
        "{line}"
    );
    loaded(&[("WEBSOCKET_COMPRESSION", "off")]);
    assert!(refused(&[("WEBSOCKET_ALERT_THRESHOLDS", "{\"nonsense\": 1}")]).contains("nonsense"));
}

#[test]
fn a_refusal_names_setting_value_reason_and_form() {
    assert_eq!(
        refused(&[("WEBSOCKET_PORT", "70000")]),
        "--port (WEBSOCKET_PORT) = \"70000\" is refused: out of range; accepted: a whole number from 0 to 65535"
    );
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (&[("WEBSOCKET_BIND", "not a host")], &["WEBSOCKET_BIND", "not a host", "127.0.0.1"]),
        (&[("WEBSOCKET_HOST", "not a host")], &["WEBSOCKET_BIND", "(WEBSOCKET_HOST)"]),
        (&[("WEBSOCKET_CLUSTER_BOOTSTRAP", "a:1,b")], &["WEBSOCKET_CLUSTER_BOOTSTRAP", "item 2", "port is missing"]),
        (
            &[("WEBSOCKET_CLUSTER_ADDR", "0.0.0.0:5001")],
            &["WEBSOCKET_CLUSTER_ADDR", "without certificates", "cert init"],
        ),
        (&[("WEBSOCKET_ADMIN_BIND", "0.0.0.0:5002")], &["WEBSOCKET_ADMIN_BIND", "0.0.0.0:5002", "token"]),
        (&[("WEBSOCKET_API_ADDR", "0.0.0.0:5003")], &["WEBSOCKET_API_ADDR", "beyond this machine", "--api-token-file"]),
        (
            &[("WEBSOCKET_API_ADDR", "127.0.0.1:5003"), ("WEBSOCKET_PRODUCTION_MODE", "true")],
            &["WEBSOCKET_API_ADDR", "in production mode", "needs a token"],
        ),
        (&[("WEBSOCKET_API_TOKEN", "short")], &["WEBSOCKET_API_TOKEN", "shorter than 16 bytes"]),
        (
            &[("WEBSOCKET_API_TOKEN", "0123456789abcdef"), ("WEBSOCKET_API_READ_TOKEN", "0123456789abcdef")],
            &["WEBSOCKET_API_READ_TOKEN", "--api-token as well", "of its own"],
        ),
        (&[("WEBSOCKET_CLUSTER_TLS_CA_FILE", "/nowhere.pem")], &["--tls-ca", "/nowhere.pem", "cannot be read"]),
        (&[("WEBSOCKET_RECOVERY_WINDOW", "0")], &["WEBSOCKET_RECOVERY_WINDOW", "out of range", "1s"]),
        (&[("WEBSOCKET_HISTORY_AGE", "60s")], &["WEBSOCKET_HISTORY_AGE", "60s", "recovery window"]),
        (&[("WEBSOCKET_HISTORY_SIZE", "100XB")], &["WEBSOCKET_HISTORY_SIZE", "100XB", "MiB"]),
        (&[("WEBSOCKET_CLUSTER_VOTERS_MAX", "4")], &["WEBSOCKET_CLUSTER_VOTERS_MAX", "even", "odd"]),
        (&[("VEDFOLNIR_FORMAT_VERSION", "5")], &["VEDFOLNIR_FORMAT_VERSION", "out of range", "from 3 to 4"]),
        (&[("WEBSOCKET_CLUSTER_HEARTBEAT", "100ms")], &["WEBSOCKET_CLUSTER_ELECTION_MIN", "150ms", "twice"]),
        (&[("WEBSOCKET_CLUSTER_ELECTION_MAX", "150ms")], &["WEBSOCKET_CLUSTER_ELECTION_MAX", "collide", "more than"]),
        (&[("WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", "100ms")], &["WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", "two leases"]),
        (&[("WEBSOCKET_LOG_LEVEL", "LOUD")], &["WEBSOCKET_LOG_LEVEL", "LOUD", "CRITICAL"]),
        (&[("WEBSOCKET_LOG_FORMAT", "xml")], &["WEBSOCKET_LOG_FORMAT", "xml", "bunyan"]),
        (&[("WEBSOCKET_CLUSTER_REPLACE_AFTER", "2s")], &["WEBSOCKET_CLUSTER_REPLACE_AFTER", "2s", "node-down-after"]),
        (&[("WEBSOCKET_PUBLIC_URL", "ftp://x")], &["WEBSOCKET_PUBLIC_URL", "ftp://x", "https://"]),
        (&[("WEBSOCKET_SSL_VERSION", "TLSv1_1")], &["WEBSOCKET_SSL_VERSION", "TLSv1_1", "weak"]),
        (&[("WEBSOCKET_SSL_CIPHERS", "DHE+AESGCM")], &["WEBSOCKET_SSL_CIPHERS", "no TLS 1.2 suite"]),
        (&[("WEBSOCKET_SSL_CERT_FILE", "/x.pem")], &["WEBSOCKET_SSL_KEY_FILE", "is missing"]),
        (&[("WEBSOCKET_FORCE_HTTPS", "true")], &["WEBSOCKET_FORCE_HTTPS", "neither a certificate nor"]),
        (&[("WEBSOCKET_HSTS_ENABLED", "true"), ("WEBSOCKET_HSTS_PRELOAD", "true")], &["WEBSOCKET_HSTS_PRELOAD"]),
        (&[("WEBSOCKET_TRUSTED_PROXIES", "10.0.0.0/33")], &["WEBSOCKET_TRUSTED_PROXIES", "10.0.0.0/33"]),
        (&[("WEBSOCKET_PROXY_HEADERS", "X-Client-IP")], &["WEBSOCKET_PROXY_HEADERS", "X-Client-IP"]),
        (
            &[("WEBSOCKET_CORS_ORIGINS", "*"), ("SOCKETIO_CORS_CREDENTIALS", "true")],
            &["WEBSOCKET_CORS_ALLOWED_ORIGINS", "credentials"],
        ),
        (&[("WEBSOCKET_AUTH_MODE", "required")], &["WEBSOCKET_AUTH_MODE", "no key"]),
        (&[("WEBSOCKET_METRICS_ENDPOINT", "/socket.io/x")], &["WEBSOCKET_METRICS_ENDPOINT", "/socket.io"]),
        (&[("WEBSOCKET_METRICS_ENDPOINT", "metrics")], &["WEBSOCKET_METRICS_ENDPOINT", "one slash"]),
    ];
    for (pairs, parts) in cases {
        let line = refused(pairs);
        for part in *parts {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
    }
}

#[test]
fn production_mode_turns_doubts_into_refusals() {
    for pairs in [
        [("WEBSOCKET_TRUST_PROXY_HEADERS", "true"), ("WEBSOCKET_PORT", "1")],
        [("WEBSOCKET_TRUSTED_PROXIES", "0.0.0.0/0"), ("WEBSOCKET_TRUST_PROXY_HEADERS", "true")],
    ] {
        let relaxed = loaded(&pairs);
        assert!(
            relaxed.doubts.iter().any(|doubt| doubt.setting.contains("WEBSOCKET_TRUSTED_PROXIES")),
            "{:?}",
            relaxed.doubts
        );
        let strict: Vec<_> = pairs.into_iter().chain([("WEBSOCKET_PRODUCTION_MODE", "true")]).collect();
        assert!(refused(&strict).contains("WEBSOCKET_TRUSTED_PROXIES"));
    }
    assert!(refused(&[("WEBSOCKET_DEBUG_MODE", "true"), ("WEBSOCKET_PRODUCTION_MODE", "true")]).contains("DEBUG_MODE"));
    let plain = loaded(&[("WEBSOCKET_PRODUCTION_MODE", "true")]);
    assert!(plain.doubts.iter().any(|doubt| doubt.reason.contains("SSL/TLS not configured for production")));
    assert!(!plain.config.node.relay && plain.config.log.format == LogFormat::Json);
    assert!(plain.config.security.rules.limits.connects.is_some());
    assert!(loaded(&[]).config.security.rules.limits.connects.is_none());
    assert!(loaded(&[("WEBSOCKET_ENHANCED_SECURITY", "true")]).config.security.rules.limits.messages.is_some());
}

#[test]
fn names_have_ranks() {
    let interval = |pairs: &[(&str, &str)]| loaded(pairs).config.public.ping_interval;
    assert_eq!(interval(&[("SOCKETIO_PING_INTERVAL", "7")]), Duration::from_secs(7));
    let both = [("SOCKETIO_PING_INTERVAL", "7"), ("WEBSOCKET_PING_INTERVAL", "8")];
    assert_eq!(interval(&both), Duration::from_secs(8));
}

#[test]
fn a_node_without_a_quorum_lets_its_clients_go_about_when_they_would_notice_a_dead_one() {
    let after = |pairs: &[(&str, &str)]| loaded(pairs).config.cluster.isolation_after.as_millis();
    let pings = |each| [("WEBSOCKET_PING_INTERVAL", each), ("WEBSOCKET_PING_TIMEOUT", each)];
    assert_eq!(after(&[]), 5_000);
    assert_eq!(after(&pings("2500ms")), 4_000);
    assert_eq!(after(&pings("500ms")), 3_000);
    let [interval, timeout] = pings("2s");
    assert_eq!(after(&[interval, timeout, ("WEBSOCKET_CLUSTER_ISOLATION_AFTER", "4500ms")]), 4_500);
    let long = [("WEBSOCKET_CLUSTER_ELECTION_MAX", "4s"), ("WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", "12s")];
    assert_eq!(after(&long), 8_000);
}

#[test]
fn connections_are_bounded_by_open_files() {
    let with = |files, pairs: &[(&str, &str)]| load(&Inputs { open_files_max: files, ..env(pairs) });
    assert_eq!(with(Some(1_512), &[]).unwrap().config.public.connections_max, 1_000);
    assert_eq!(with(Some(1 << 30), &[]).unwrap().config.public.connections_max, 200_000);
    let asked = [("WEBSOCKET_MAX_CONNECTIONS_PER_SERVER", "1001")];
    let line = with(Some(1_512), &asked).unwrap_err().to_string();
    assert!(line.contains("1001") && line.contains("1512") && line.contains("at most 1000"), "{line}");
    assert_eq!(with(None, &asked).unwrap().config.public.connections_max, 1_001);
}

#[test]
fn a_reload_names_what_needs_a_restart() {
    let old = loaded(&[("WEBSOCKET_PORT", "1"), ("WEBSOCKET_LOG_LEVEL", "INFO")]);
    let new = loaded(&[("WEBSOCKET_PORT", "2"), ("WEBSOCKET_LOG_LEVEL", "DEBUG"), ("WEBSOCKET_RELAY", "off")]);
    assert_eq!(old.needs_restart(&new), ["WEBSOCKET_PORT", "WEBSOCKET_RELAY"]);
    assert!(old.needs_restart(&loaded(&[("WEBSOCKET_PORT", "1")])).is_empty());
    let again = loaded(&[("WEBSOCKET_PORT", "2")]);
    assert_eq!(old.with_reloaded(new).needs_restart(&again), ["WEBSOCKET_PORT"], "still compared with the start");
}

#[test]
fn secrets_are_shown_nowhere() {
    let secret = "planted-0123456789-0123456789-0123456789";
    let pairs: Vec<_> =
        all().filter(|setting| setting.about().secret).map(|setting| (setting.about().name, secret)).collect();
    assert!(pairs.len() > 5);
    let inputs = env(&pairs);
    let checked = check(&inputs);
    let mut all_output =
        format!("{checked:?} {} {inputs:?} {}", checked.shown, serde_json::to_string(&checked.shown).unwrap());
    for problem in &checked.problems {
        let _ = write!(all_output, "{problem}");
    }
    if let Ok(loaded) = load(&env(&[("WEBSOCKET_AUTH_JWT_SECRET", secret), ("WEBSOCKET_ADMIN_TOKEN", secret)])) {
        let _ = write!(all_output, "{loaded:?}");
    }
    assert!(!all_output.contains("planted"), "a secret is shown");
}

fn with_token(text: &str, more: &[(&str, &str)]) -> Result<ClusterTls, String> {
    let mut pairs = vec![
        ("WEBSOCKET_CLUSTER_JOIN_TOKEN", text),
        ("WEBSOCKET_CLUSTER_BOOTSTRAP", "a:1"),
        ("WEBSOCKET_DATA_DIR", "/nowhere/data"),
    ];
    pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    pairs.extend(more);
    load(&env(&pairs)).map(|loaded| loaded.config.cluster.tls).map_err(|error| error.to_string())
}

/// A token of no cluster, in the right form.
const TOKEN: &str = "vfjoin1_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQ";

#[test]
fn a_join_token_is_refused_without_being_shown() {
    for (text, reason) in [("garbage", "no join token"), (TOKEN, "cut off or mistyped")] {
        let line = with_token(text, &[]).expect_err("refused");
        assert!(line.starts_with("--join-token (WEBSOCKET_CLUSTER_JOIN_TOKEN)") && line.contains(reason), "{line}");
        assert!(!line.contains(text), "{line}");
    }
    let line = with_token("garbage", &[("WEBSOCKET_CLUSTER_TLS_CA_FILE", "x.pem")]).expect_err("refused");
    assert!(line.contains("certificates of its own"), "{line}");
}

#[test]
fn a_restart_needs_no_token() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tls")).unwrap();
    std::fs::write(directory.path().join("tls/cert.pem"), "x").unwrap();
    for text in ["", "garbage"] {
        let tls = with_token(text, &[("WEBSOCKET_DATA_DIR", directory.path().to_str().unwrap())]).expect("valid");
        assert!(matches!(tls, ClusterTls::DataDir { token: None }), "{tls:?}");
    }
}

#[test]
fn certificates_of_peers_come_all_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "x").unwrap();
    let path = file.to_str().unwrap();
    let line = refused(&[("WEBSOCKET_CLUSTER_TLS_CA_FILE", path)]);
    assert!(line.starts_with("--tls-cert (WEBSOCKET_CLUSTER_TLS_CERT_FILE) is missing"), "{line}");
    let all_three = [
        ("WEBSOCKET_CLUSTER_TLS_CA_FILE", path),
        ("WEBSOCKET_CLUSTER_TLS_CERT_FILE", path),
        ("WEBSOCKET_CLUSTER_TLS_KEY_FILE", path),
        ("WEBSOCKET_CLUSTER_ADDR", "0.0.0.0:5001"),
    ];
    let line = refused(&all_three);
    assert!(line.starts_with("--cluster-advertise (WEBSOCKET_CLUSTER_ADVERTISE) is missing"), "{line}");
    let with = |advertise| [all_three.as_slice(), &[("WEBSOCKET_CLUSTER_ADVERTISE", advertise)]].concat();
    let advertised = loaded(&with("node-1.example:5001")).config.cluster.advertise;
    assert_eq!(advertised.as_deref(), Some("node-1.example:5001"));
    assert!(refused(&with("0.0.0.0:5001")).contains("unspecified"));
}

#[test]
fn bootstrap_expect_is_more_than_half_of_the_list() {
    let expect = |list: &str, number: &str| {
        let pairs = [("WEBSOCKET_CLUSTER_BOOTSTRAP", list), ("WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT", number)];
        load(&env(&pairs)).map(|loaded| loaded.config.cluster.bootstrap_expect).map_err(|error| error.to_string())
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
fn backups_need_a_place_a_long_key_and_a_directory_that_takes_them() {
    for setting in ["WEBSOCKET_STATE_BACKUP", "WEBSOCKET_AUTO_RECOVERY"] {
        let line = refused(&[(setting, "true")]);
        assert!(line.contains(setting) && line.contains("WEBSOCKET_BACKUP_LOCATION, or false"), "{line}");
    }
    let line = refused(&[("WEBSOCKET_BACKUP_LOCATION", "ftp://bucket/prefix")]);
    assert!(line.contains("it is an address of another kind"), "{line}");
    let line = refused(&[
        ("WEBSOCKET_STATE_BACKUP", "true"),
        ("WEBSOCKET_BACKUP_LOCATION", "/tmp"),
        ("WEBSOCKET_BACKUP_ARCHIVE_LOG", "true"),
        ("WEBSOCKET_PERSIST_SESSION_DATA", "false"),
    ]);
    assert!(line.contains("WEBSOCKET_BACKUP_ARCHIVE_LOG") && line.contains("the log holds everything"), "{line}");
    let line = refused(&[("WEBSOCKET_BACKUP_ENCRYPTION_KEY", "hunter2")]);
    assert!(line.contains("7 bytes") && !line.contains("hunter2"), "{line}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("backups").display().to_string();
    let line = refused(&[("WEBSOCKET_STATE_BACKUP", "true"), ("WEBSOCKET_BACKUP_LOCATION", &below)]);
    assert!(line.contains("is no directory"), "{line}");
    let place = directory.path().join("not there yet").display().to_string();
    let config = loaded(&[
        ("WEBSOCKET_STATE_BACKUP", "true"),
        ("WEBSOCKET_BACKUP_LOCATION", &place),
        ("WEBSOCKET_COMPRESS_BACKUPS", "false"),
        ("WEBSOCKET_AUTO_RECOVERY", "true"),
        ("WEBSOCKET_RECOVERY_RETRIES", "0"),
    ])
    .config;
    assert_eq!(config.backup.interval, Some(std::time::Duration::from_secs(300)));
    assert_eq!(config.backup.packing.compression_level, None);
    assert_eq!(config.backup.recovery.unwrap().attempts, 1, "none at all would be no recovery");
    assert!(refused(&[("WEBSOCKET_COMPRESSION_LEVEL", "20")]).contains("from 1 to 19"));
    assert_eq!(config.backup.archive_interval, None);
    let line = refused(&[("WEBSOCKET_BACKUP_ARCHIVE_LOG", "true")]);
    assert!(line.contains("there are none") && line.contains("WEBSOCKET_STATE_BACKUP=true"), "{line}");
    let archiving = loaded(&[
        ("WEBSOCKET_STATE_BACKUP", "true"),
        ("WEBSOCKET_BACKUP_LOCATION", &place),
        ("WEBSOCKET_BACKUP_ARCHIVE_LOG", "true"),
    ]);
    assert_eq!(archiving.config.backup.archive_interval, Some(std::time::Duration::from_secs(10)));
}
