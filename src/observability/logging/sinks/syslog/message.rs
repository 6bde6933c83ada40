//! A line as a syslog message.
//!
//! RFC 5424: `<PRI>1 TIMESTAMP HOSTNAME vedfolnir PROCID EVENT_TYPE [vedfolnir@32473 …] {"timestamp":…}`. The message is the
//! JSON object, the same as everywhere; it has no byte order mark (section 6.4 allows that), since JSON must not have
//! one. 32473 is the number for those who have none of their own (RFC 5612).

use std::fmt::Write as _;
use std::str::FromStr;

use super::super::super::line::Line;
use super::super::super::timestamp::{push_rfc3164, push_rfc3339};

/// Our name in messages.
const APP_NAME: &str = "vedfolnir";
/// The structured data's name.
const SD_ID: &str = "vedfolnir@32473";

/// How messages look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyslogFormat {
    /// With structured data and milliseconds.
    #[default]
    Rfc5424,
    /// The older one; its times are UTC.
    Rfc3164,
}

/// What messages are filed under (RFC 5424, section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// A name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no syslog facility; accepted: local0 to local7, user, daemon, auth, authpriv, syslog, kern, mail, lpr, news, uucp, cron, ftp"
)]
pub struct FacilityError(pub String);

impl Facility {
    const NAMES: [(&'static str, u8); 20] = [
        ("kern", 0),
        ("user", 1),
        ("mail", 2),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("lpr", 6),
        ("news", 7),
        ("uucp", 8),
        ("cron", 9),
        ("authpriv", 10),
        ("ftp", 11),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl Default for Facility {
    /// `local0`.
    fn default() -> Self {
        Self(16)
    }
}

impl FromStr for Facility {
    type Err = FacilityError;

    fn from_str(text: &str) -> Result<Self, FacilityError> {
        let found = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, code)| Self(*code)).ok_or_else(|| FacilityError(text.chars().take(32).collect()))
    }
}

/// What all messages of a process have in common.
pub(crate) struct Origin {
    host_name: String,
    process: String,
    facility: Facility,
    format: SyslogFormat,
    /// For this machine's own syslog, which knows the host and speaks the older format only.
    is_local: bool,
}

impl Origin {
    pub(crate) fn new(host_name: &str, facility: Facility, format: SyslogFormat, is_local: bool) -> Self {
        // Printable ASCII (section 6); a name that is none of that is unknown.
        let host_name: String = host_name.chars().filter(char::is_ascii_graphic).take(255).collect();
        Self {
            host_name: if host_name.is_empty() { "-".to_owned() } else { host_name },
            process: std::process::id().to_string(),
            facility,
            format,
            is_local,
        }
    }

    /// Writes a message, without framing, of at most `bytes_max` bytes: a record that is longer in its brief form.
    pub(crate) fn write(&self, out: &mut Vec<u8>, line: &Line, bytes_max: usize) {
        let mut head = String::with_capacity(192);
        let priority = u16::from(self.facility.0) * 8 + u16::from(line.level().severity());
        let Self { host_name, process, .. } = self;
        // Writing into a string cannot fail, here and below.
        let _ = write!(head, "<{priority}>");
        match (self.format, self.is_local) {
            (SyslogFormat::Rfc5424, false) => {
                head.push_str("1 ");
                push_rfc3339(&mut head, line.unix_ms());
                let _ = write!(head, " {host_name} {APP_NAME} {process} {} ", line.event_type());
                push_structured_data(&mut head, line);
                head.push(' ');
            }
            (_, is_local) => {
                push_rfc3164(&mut head, line.unix_ms());
                if !is_local {
                    let _ = write!(head, " {host_name}");
                }
                let _ = write!(head, " {APP_NAME}[{process}]: ");
            }
        }
        let whole = line.json();
        let text = if head.len() + whole.len() <= bytes_max { whole } else { line.brief_json() };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

fn push_structured_data(out: &mut String, line: &Line) {
    let start = out.len();
    let _ = write!(out, "[{SD_ID}");
    let empty = out.len();
    if let Some(seq) = line.seq() {
        let _ = write!(out, " seq=\"{seq}\"");
    }
    for (name, value) in [("session_id", line.session_id()), ("connection_id", line.connection_id())] {
        if let Some(value) = value {
            let _ = write!(out, " {name}=\"");
            push_parameter(out, value);
            out.push('"');
        }
    }
    if out.len() == empty {
        out.truncate(start);
        out.push('-');
    } else {
        out.push(']');
    }
}

/// Quotes, backslashes and closing brackets are escaped (section 6.3.3); what is hostile is replaced, since there is no
/// escape for it.
fn push_parameter(out: &mut String, value: &str) {
    for character in value.chars() {
        if matches!(character, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(if super::super::super::escape::is_hostile(character) { '?' } else { character });
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::catalogue::EventType;
    use super::super::super::super::format::{Format, Identity};
    use super::super::super::super::level::{Category, Level};
    use super::super::super::super::line::Wanted;
    use super::super::super::super::masking::Pii;
    use super::super::super::super::record::Record;
    use super::*;

    fn line(fill: impl FnOnce(&mut Record)) -> Line {
        let event = EventType::find("authentication_failed").unwrap();
        let mut record = Record::new(1_738_060_200_000, Level::Critical, Category::Security, event, Pii::Full);
        record.set_message("refused");
        fill(&mut record);
        Line::new(&record, &Identity::new("server"), Wanted { local: Format::Json, json: true, brief: true })
    }

    fn written(origin: &Origin, line: &Line, bytes_max: usize) -> String {
        let mut out = Vec::new();
        origin.write(&mut out, line, bytes_max);
        String::from_utf8(out).unwrap()
    }

    fn origin(format: SyslogFormat, is_local: bool) -> Origin {
        Origin::new("web-1", Facility::default(), format, is_local)
    }

    #[test]
    fn a_message_has_every_part_of_the_standard() {
        let line = line(|record| {
            record.seq = Some(7);
            record.set("session_id", "s\"]\\1".into());
            record.set("connection_id", "c\n1".into());
        });
        let process = std::process::id();
        let head = format!(
            "<130>1 2025-01-28T10:30:00.000Z web-1 vedfolnir {process} authentication_failed \
             [vedfolnir@32473 seq=\"7\" session_id=\"s\\\"\\]\\\\1\" connection_id=\"c?1\"] {{\"timestamp\":"
        );
        let text = written(&origin(SyslogFormat::Rfc5424, false), &line, usize::MAX);
        assert!(text.starts_with(&head), "{text}");
        assert!(text.ends_with(line.json()));
    }

    #[test]
    fn without_anything_to_say_structured_data_is_nil() {
        let text = written(&origin(SyslogFormat::Rfc5424, false), &line(|_| {}), usize::MAX);
        assert!(text.contains(" authentication_failed - {"), "{text}");
    }

    #[test]
    fn the_older_format_has_the_host_unless_it_is_this_one() {
        let process = std::process::id();
        let text = written(&origin(SyslogFormat::Rfc3164, false), &line(|_| {}), usize::MAX);
        assert!(text.starts_with(&format!("<130>Jan 28 10:30:00 web-1 vedfolnir[{process}]: {{")), "{text}");
        let text = written(&origin(SyslogFormat::Rfc5424, true), &line(|_| {}), usize::MAX);
        assert!(text.starts_with(&format!("<130>Jan 28 10:30:00 vedfolnir[{process}]: {{")), "{text}");
    }

    #[test]
    fn a_long_record_fits_into_a_datagram_and_is_json_all_the_same() {
        let line = line(|record| record.set_message(&"\u{1b}".repeat(8_000)));
        let text = written(&origin(SyslogFormat::Rfc5424, false), &line, super::super::UDP_BYTES_MAX);
        assert!(text.len() <= super::super::UDP_BYTES_MAX);
        let json: serde_json::Value = serde_json::from_str(text.split_once(" - ").unwrap().1).unwrap();
        assert_eq!(json["metadata"]["shortened"], true);
    }

    #[test]
    fn facilities_have_their_numbers() {
        for (name, code) in [("local0", 16), ("LOCAL7", 23), ("daemon", 3), ("authpriv", 10)] {
            assert_eq!(name.parse::<Facility>().map(Facility::code), Ok(code));
        }
        assert!("local8".parse::<Facility>().unwrap_err().to_string().contains("accepted: local0"));
    }

    #[test]
    fn a_host_without_a_name_is_unknown() {
        assert_eq!(Origin::new("ß \n", Facility::default(), SyslogFormat::Rfc5424, false).host_name, "-");
    }
}
