//! What passes, seen through a subscriber.

use std::sync::{Mutex, PoisonError};

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// The registry of places in the code is the process's: tests that change what is in force take turns.
static TURN: Mutex<()> = Mutex::new(());

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Is>>>);

/// Type, category and level.
type Is = (String, &'static str, &'static str);

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let class = classify(event);
        self.0.lock().unwrap().push((class.event.name.to_owned(), class.category.name(), class.level.name()));
    }
}

fn seen_with(levels: Levels, events: impl FnOnce(&LogFilter)) -> Vec<Is> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let filter = LogFilter::new(levels).unwrap();
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(filter.judge(seen.clone()));
    tracing::subscriber::with_default(subscriber, || events(&filter));
    seen.0.lock().unwrap().clone()
}

fn names(levels: Levels, events: impl FnOnce(&LogFilter)) -> Vec<String> {
    seen_with(levels, events).into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn events_are_what_they_say_they_are() {
    let seen = seen_with(Levels::new(Level::Trace), |_| {
        tracing::info!("plain");
        tracing::error!("plain");
        tracing::warn!(event_type = "authentication_failed", "by its type");
        tracing::info!(category = "connection", "by its category");
        tracing::warn!(category = "security", event_type = "auth_failure", level = "CRITICAL", "an alias, louder");
        tracing::error!(event_type = "panic", "critical by its type");
        tracing::info!(event_type = "made_up", category = "nonsense", level = "LOUD", "unknown");
        tracing::info!(event_type = %"ready", "shown by Display");
        tracing::trace!("quiet");
    });
    let expected = [
        ("log", "system", "INFO"),
        ("error", "error", "ERROR"),
        ("authentication_failed", "security", "WARNING"),
        ("log", "connection", "INFO"),
        ("authentication_failed", "security", "CRITICAL"),
        ("panic", "error", "CRITICAL"),
        ("log", "system", "INFO"),
        ("ready", "system", "INFO"),
        ("log", "system", "DEBUG"),
    ];
    assert_eq!(seen, expected.map(|(name, category, level)| (name.to_owned(), category, level)));
}

#[test]
fn a_category_with_a_level_of_its_own_goes_by_that() {
    let mut levels = Levels::new(Level::Critical);
    levels.set_category(Category::Security, Some(Level::Warning));
    levels.set_category(Category::Performance, Some(Level::Debug));
    let names = names(levels, |_| {
        tracing::warn!(event_type = "authentication_failed", "yes");
        tracing::info!(event_type = "authentication_succeeded", "no");
        tracing::debug!(event_type = "message_processing", "yes");
        tracing::trace!(event_type = "message_processing", "no");
        tracing::info!(event_type = "connection_established", "no");
        tracing::error!("no");
        tracing::error!(event_type = "disk_failed", "yes, critical");
        tracing::info!(level = "FATAL", "yes, critical");
    });
    assert_eq!(names, ["authentication_failed", "message_processing", "disk_failed", "error"]);
}

#[test]
fn directives_stand_for_the_global_level_and_caps_stand_above_them() {
    let mut levels = Levels::new(Level::Error);
    levels.directives = Some("warn,mine=debug,hyper::proto=trace".to_owned());
    levels.caps = "hyper=info".to_owned();
    levels.set_category(Category::Security, Some(Level::Debug));
    let names = names(levels, |_| {
        tracing::debug!(target: "mine::deep", event_type = "message_sent", "yes");
        tracing::info!(target: "other", event_type = "ready", "no");
        tracing::warn!(target: "other", event_type = "not_ready", "yes");
        tracing::trace!(target: "hyper::proto", event_type = "message_received", "capped");
        tracing::debug!(target: "hyper::proto", event_type = "authentication_succeeded", "capped, whatever its category");
        tracing::info!(target: "hyper::proto", event_type = "starting", "yes");
        tracing::debug!(target: "other", event_type = "forbidden", "yes");
    });
    assert_eq!(names, ["message_sent", "not_ready", "starting", "forbidden"]);
}

#[test]
fn the_error_file_is_independent_of_other_levels() {
    let mut levels = Levels::new(Level::Critical);
    levels.error_file = Some(Level::Error);
    let names = names(levels, |filter| {
        tracing::error!(event_type = "handler_failed", "to the error file");
        tracing::warn!(event_type = "not_ready", "nowhere");
        assert_eq!(
            filter.destinations_of(Category::Error, Level::Error),
            Destinations { log: false, error_file: true }
        );
        assert_eq!(
            filter.destinations_of(Category::Error, Level::Critical),
            Destinations { log: true, error_file: true }
        );
    });
    assert_eq!(names, ["handler_failed"]);
}

#[test]
fn a_change_is_in_force_at_once_at_places_that_were_judged_before() {
    let names = names(Levels::new(Level::Info), |filter| {
        let say = || {
            tracing::debug!(event_type = "message_sent", "m");
            tracing::debug!("plain");
        };
        say();
        filter.set_level(Some(Category::Message), Level::Debug);
        say();
        filter.set_level(None, Level::Debug);
        say();
        filter.set_level(None, Level::Critical);
        filter.set_level(Some(Category::Message), Level::Info);
        say();
        let mut levels = filter.levels();
        levels.directives = Some("nonsense=loud".to_owned());
        assert!(filter.replace(levels.clone()).is_err());
        levels.directives = Some("debug".to_owned());
        levels.set_category(Category::Message, None);
        filter.replace(levels).unwrap();
        say();
    });
    assert_eq!(names, ["message_sent", "message_sent", "log", "message_sent", "log"]);
}

#[test]
fn a_place_that_can_say_nothing_is_not_even_asked() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let filter = LogFilter::new(Levels::new(Level::Info)).unwrap();
    let subscriber = tracing_subscriber::registry().with(filter.judge(Seen::default()));
    tracing::subscriber::with_default(subscriber, || {
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert!(tracing::enabled!(tracing::Level::INFO));
        let mut evaluated = false;
        tracing::debug!(
            event_type = "message_sent",
            value = {
                evaluated = true;
                1
            },
            "m"
        );
        assert!(!evaluated);
    });
}

#[test]
fn directives_that_cannot_be_read_are_named() {
    for text in ["a=b=c", "loud", "mine=loud", "[span{field=1}]=debug"] {
        // `loud` alone is a target, as in other programs.
        if let Err(error) = check_directives(text) {
            assert!(error.to_string().contains(text) && error.to_string().contains("accepted:"), "{error}");
        } else {
            assert_eq!(text, "loud");
        }
    }
    for text in ["", "info", "info,vedfolnir_cluster=debug", "off,mine=trace"] {
        assert_eq!(check_directives(text), Ok(()));
    }
}

#[test]
fn of_a_category_that_is_off_nothing_goes_anywhere() {
    let mut levels = Levels::new(Level::Trace);
    levels.error_file = Some(Level::Error);
    levels.set_category(Category::Performance, Some(Level::Trace));
    levels.mute(Category::Performance);
    let names = names(levels, |filter| {
        tracing::info!(name: "slow", event_type = "slow_handler");
        tracing::error!(name: "grave", category = "performance");
        tracing::info!(name: "other", event_type = "ready");
        let own = filter.destinations_of(Category::Performance, Level::Critical);
        assert_eq!(own, Destinations { log: false, error_file: false });
    });
    assert_eq!(names, ["ready"]);
}
