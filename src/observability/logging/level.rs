//! How grave a record is, and which of the six categories it belongs to.

/// How grave a record is; ordered from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything, as a threshold; a record of this level is written as `DEBUG`.
    Trace,
    /// What developers ask for.
    Debug,
    /// What happens.
    Info,
    /// What should not.
    Warning,
    /// What failed.
    Error,
    /// What failed for good, or needs a person now.
    Critical,
}

impl Level {
    /// Those that a record shows.
    pub const SHOWN: [Self; 5] = [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// As records show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace | Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// By the name that records show, or by that of other systems (`TRACE`, `WARN`, `FATAL`), in any case of letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const NAMES: [(&str, Level); 8] = [
            ("DEBUG", Level::Debug),
            ("INFO", Level::Info),
            ("WARNING", Level::Warning),
            ("ERROR", Level::Error),
            ("CRITICAL", Level::Critical),
            ("TRACE", Level::Trace),
            ("WARN", Level::Warning),
            ("FATAL", Level::Critical),
        ];
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| *level)
    }

    /// The nearest level of `tracing`.
    pub(crate) const fn of_tracing(self) -> tracing::Level {
        match self {
            Self::Trace => tracing::Level::TRACE,
            Self::Debug => tracing::Level::DEBUG,
            Self::Info => tracing::Level::INFO,
            Self::Warning => tracing::Level::WARN,
            Self::Error | Self::Critical => tracing::Level::ERROR,
        }
    }

    /// Syslog's severity (RFC 5424, section 6.2.1).
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Trace | Self::Debug => 7,
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Critical => 2,
        }
    }

    /// Its place in [`Self::SHOWN`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Trace | Self::Debug => 0,
            Self::Info => 1,
            Self::Warning => 2,
            Self::Error => 3,
            Self::Critical => 4,
        }
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::ERROR => Self::Error,
        }
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Clients that come and go.
    Connection,
    /// What clients say; never the payload.
    Message,
    /// Who was refused, and what operators did.
    Security,
    /// How long something took.
    Performance,
    /// What failed inside.
    Error,
    /// The node and its cluster.
    System,
}

impl Category {
    /// All of them, in the document's order.
    pub const ALL: [Self; 6] =
        [Self::Connection, Self::Message, Self::Security, Self::Performance, Self::Error, Self::System];

    /// As records show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Message => "message",
            Self::Security => "security",
            Self::Performance => "performance",
            Self::Error => "error",
            Self::System => "system",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name() == text)
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_found_by_every_name() {
        assert!(Level::SHOWN.is_sorted());
        assert!(Level::Trace < Level::Debug);
        for (index, level) in Level::SHOWN.into_iter().enumerate() {
            assert_eq!((level.index(), Level::parse(level.name())), (index, Some(level)));
        }
        assert_eq!(Level::parse("fatal"), Some(Level::Critical));
        assert_eq!(Level::parse("LOUD"), None);
    }

    #[test]
    fn severities_are_those_of_syslog() {
        assert_eq!(Level::SHOWN.map(Level::severity), [7, 6, 4, 3, 2]);
    }

    #[test]
    fn categories_have_their_places_and_names() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!((category.index(), Category::parse(category.name())), (index, Some(category)));
        }
        assert_eq!(Category::parse("Security"), None);
    }
}
