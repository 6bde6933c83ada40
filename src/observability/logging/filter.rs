//! Which events become records: by level, by category, by the part of the program that speaks; changeable while it runs.
//!
//! A category may be off ([`Levels::mute`]). One with a level of its own (security, performance) goes by that; the others go by the directives, if there are
//! any, or else by the global level. Above both stand the caps: the most that a part of the program may ever say, whatever
//! is asked for. The error file is independent of all but the caps.
//!
//! Each place in the code is judged once and after every change ([`LogFilter::callsite_enabled`]): what cannot become a record costs a
//! comparison. Only events that name a category, a type or a level of their own are looked into when they happen; that is
//! done by the layer ([`Judged`] for others' layers), and not by `Filter::event_enabled`: a filter that has said "always" of a
//! place and "no" of its event leaves a mark behind by which the registry would lose the next event.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::classify::{classify, usual_category};
use super::level::{Category, Level};

/// The target of what the program says by itself.
const PROGRAM: &str = "vedfolnir";

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The least level.
    pub global: Level,
    /// `target=level` directives instead of it, such as `info,vedfolnir_cluster=debug`.
    pub directives: Option<String>,
    /// Levels of categories that have their own.
    pub categories: [Option<Level>; Category::ALL.len()],
    /// The most that parts of the program may say: directives such as `hyper=info,h2=warn`.
    pub caps: String,
    /// The least level that reaches the error file, if there is one.
    pub error_file: Option<Level>,
    /// Categories of which nothing is logged anywhere.
    muted: [bool; Category::ALL.len()],
}

impl Levels {
    /// That level and nothing else.
    #[must_use]
    pub const fn new(global: Level) -> Self {
        Self {
            global,
            directives: None,
            categories: [None; Category::ALL.len()],
            caps: String::new(),
            error_file: None,
            muted: [false; Category::ALL.len()],
        }
    }

    /// Logs nothing of a category, whatever its level.
    pub const fn mute(&mut self, category: Category) {
        self.muted[category.index()] = true;
    }

    /// Whether nothing of it is logged.
    #[must_use]
    pub const fn is_muted(&self, category: Category) -> bool {
        self.muted[category.index()]
    }

    /// The category's own level.
    #[must_use]
    pub const fn own(&self, category: Category) -> Option<Level> {
        self.categories[category.index()]
    }

    /// Gives a category a level of its own, or takes it away.
    pub const fn set_category(&mut self, category: Category, level: Option<Level>) {
        self.categories[category.index()] = level;
    }
}

/// Directives that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log directives {text:?} cannot be read ({reason}); accepted: LEVEL and TARGET=LEVEL, separated by commas, such as info,vedfolnir_cluster=debug"
)]
pub struct DirectivesError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Checks directives, for whoever reads the configuration.
///
/// # Errors
/// [`DirectivesError`].
pub fn check_directives(text: &str) -> Result<(), DirectivesError> {
    directives(text).map(drop)
}

fn directives(text: &str) -> Result<Targets, DirectivesError> {
    if text.trim().is_empty() {
        return Ok(Targets::new());
    }
    text.parse().map_err(|error: tracing_subscriber::filter::ParseError| DirectivesError {
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

/// The levels in force, read.
#[derive(Debug)]
struct InForce {
    levels: Levels,
    directives: Option<Targets>,
    caps: Targets,
}

impl InForce {
    fn new(levels: Levels) -> Result<Self, DirectivesError> {
        let read = levels.directives.as_deref().map(directives).transpose()?;
        // What has no cap may say everything.
        let caps = directives(&levels.caps)?;
        let caps = if caps.default_level().is_some() { caps } else { caps.with_default(LevelFilter::TRACE) };
        Ok(Self { directives: read, caps, levels })
    }

    /// Whether a record goes to the log, to its category's file and to receivers.
    fn passes(&self, metadata: &Metadata<'_>, category: Category, level: Level) -> bool {
        if self.levels.is_muted(category) {
            return false;
        }
        match (self.levels.categories.get(category.index()).copied().flatten(), &self.directives) {
            (Some(own), _) => level >= own,
            (None, Some(directives)) => directives.would_enable(metadata.target(), metadata.level()),
            (None, None) => level >= self.levels.global,
        }
    }

    fn reaches_error_file(&self, category: Category, level: Level) -> bool {
        !self.levels.is_muted(category) && self.levels.error_file.is_some_and(|least| level >= least)
    }

    fn is_allowed(&self, metadata: &Metadata<'_>) -> bool {
        self.caps.would_enable(metadata.target(), metadata.level())
    }

    /// Whether an event from there may become a record, whatever it says of itself.
    fn is_possible(&self, metadata: &Metadata<'_>) -> bool {
        if !self.is_allowed(metadata) {
            return false;
        }
        let level = Level::from(metadata.level());
        if metadata.is_span() {
            // Spans down to INFO give rare warnings their session, whatever the level.
            return level >= Level::Info
                || Category::ALL.iter().any(|category| self.passes(metadata, *category, level));
        }
        let names = |name| metadata.fields().field(name).is_some();
        let (own_type, own_level) = (names("event_type"), names("level"));
        // A level of its own, or a type that is CRITICAL.
        let highest = if own_level || (own_type && level == Level::Error) { Level::Critical } else { level };
        let is_possible =
            |category: Category| self.passes(metadata, category, highest) || self.reaches_error_file(category, highest);
        if own_type || own_level || names("category") {
            Category::ALL.into_iter().any(is_possible)
        } else {
            is_possible(usual_category(level))
        }
    }

    /// The most that any event or span may be worth.
    fn most(&self) -> LevelFilter {
        let of = |level: Level| LevelFilter::from_level(level.of_tracing());
        let directives = self.directives.as_ref().map(|targets| {
            let most = targets.iter().map(|(_, level)| level).max().unwrap_or(LevelFilter::OFF);
            most.max(targets.default_level().unwrap_or(LevelFilter::OFF))
        });
        let own = self.levels.categories.iter().flatten().chain(&self.levels.error_file).map(|level| of(*level));
        own.max().unwrap_or(LevelFilter::OFF).max(directives.unwrap_or(of(self.levels.global))).max(LevelFilter::INFO)
    }
}

/// Decides for a layer which events and spans it sees; clones share what is in force.
#[derive(Clone, Debug)]
pub struct LogFilter {
    in_force: Arc<ArcSwap<InForce>>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destinations {
    /// The log or its category's file, and receivers.
    pub(crate) log: bool,
    /// The error file.
    pub(crate) error_file: bool,
}

impl LogFilter {
    pub(crate) fn new(levels: Levels) -> Result<Self, DirectivesError> {
        Ok(Self { in_force: Arc::new(ArcSwap::from_pointee(InForce::new(levels)?)) })
    }

    /// What is in force.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.in_force.load().levels.clone()
    }

    /// Puts other levels in force, at once and everywhere.
    ///
    /// # Errors
    /// [`DirectivesError`]; the old ones stay.
    pub fn replace(&self, levels: Levels) -> Result<(), DirectivesError> {
        self.in_force.store(Arc::new(InForce::new(levels)?));
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Gives one category (`None`: all that have none of their own, instead of directives) another level.
    pub fn set_level(&self, category: Option<Category>, level: Level) {
        self.in_force.rcu(|old| {
            let mut levels = old.levels.clone();
            let directives = match category {
                Some(category) => {
                    levels.set_category(category, Some(level));
                    old.directives.clone()
                }
                None => {
                    (levels.global, levels.directives) = (level, None);
                    None
                }
            };
            InForce { levels, directives, caps: old.caps.clone() }
        });
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn destinations(&self, metadata: &Metadata<'_>, category: Category, level: Level) -> Destinations {
        let in_force = self.in_force.load();
        if !in_force.is_allowed(metadata) {
            return Destinations { log: false, error_file: false };
        }
        Destinations {
            log: in_force.passes(metadata, category, level),
            error_file: in_force.reaches_error_file(category, level),
        }
    }

    /// For records that come from no place in the code; directives judge them as the program's own.
    pub(crate) fn destinations_of(&self, category: Category, level: Level) -> Destinations {
        let in_force = self.in_force.load();
        let own = in_force.levels.categories.get(category.index()).copied().flatten();
        let log = match (own, &in_force.directives) {
            _ if in_force.levels.is_muted(category) => false,
            (Some(own), _) => level >= own,
            (None, Some(directives)) => directives.would_enable(PROGRAM, &level.of_tracing()),
            (None, None) => level >= in_force.levels.global,
        };
        Destinations { log, error_file: in_force.reaches_error_file(category, level) }
    }
}

/// Another formatter's layer, which sees the events that pass and no others. Made by [`LogFilter::judge`].
#[derive(Debug)]
pub struct Judged<L> {
    inner: L,
    filter: LogFilter,
}

impl LogFilter {
    /// Puts the filter before another formatter's layer.
    pub fn judge<L, S>(&self, layer: L) -> Filtered<Judged<L>, Self, S>
    where
        L: Layer<S>,
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        Judged { inner: layer, filter: self.clone() }.with_filter(self.clone())
    }
}

impl<S, L> Layer<S> for Judged<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(id, values, context);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        self.inner.on_follows_from(id, follows, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let class = classify(event);
        let destinations = self.filter.destinations(event.metadata(), class.category, class.level);
        if !super::worker::is_sink_thread() && (destinations.log || destinations.error_file) {
            self.inner.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.inner.on_close(id, context);
    }
}

impl<S: Subscriber> Filter<S> for LogFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.in_force.load().is_possible(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.in_force.load().is_possible(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.in_force.load().most())
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
