//! Which hosts the service answers for: the `Host` header judged before anything is made of it (RFC 9110, section 7.4).
//!
//! A foreign `Host` is how links, redirects and caches are poisoned, and how a page reaches a service on the user's own
//! network after DNS rebinding. Health checks come by address and under any name: they are not judged.

use http::header::HOST;
use http::{HeaderMap, StatusCode, Uri};
use thiserror::Error;

use super::host::{Authority, HostPattern, split_port};

/// Hosts in a list.
pub const HOSTS_MAX: usize = 256;

/// An entry of the list is no host.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostsError {
    /// An entry is none.
    #[error(
        "`{text}` is not a host (accepted: example.com, *.example.com, 192.0.2.7, [2001:db8::1], each with or without \
         :PORT, or * alone)"
    )]
    Entry {
        /// What was written.
        text: String,
    },
    /// The others would mean nothing.
    #[error("the host `*` stands among others (accepted: `*` alone, or a list of hosts)")]
    AnyAmongOthers,
    /// The list is too long.
    #[error("{count} hosts are too many (accepted: up to {HOSTS_MAX})")]
    TooMany {
        /// Hosts given.
        count: usize,
    },
}

/// Hosts that the service answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    /// Any well-formed one. None of them is vouched for: no redirect is built of it, and no page is allowed for it.
    Any,
    /// These.
    List(Vec<HostEntry>),
}

/// A host of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    host: HostPattern,
    /// `None`: any port.
    port: Option<u16>,
}

/// The host that a request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedHost<'a> {
    /// It, as it was written.
    pub authority: Authority<'a>,
    /// Whether the list holds it; only then anything may be made of it.
    pub listed: bool,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostRefusal {
    /// RFC 9112, section 3.2: 400.
    #[error("the request names no host")]
    Missing,
    /// RFC 9112, section 3.2: 400.
    #[error("the request names more than one host")]
    Several,
    /// RFC 9112, section 3.2: 400.
    #[error("the request's host is not well-formed")]
    Malformed,
    /// RFC 9110, section 15.5.20: 421.
    #[error("this server does not answer for the request's host")]
    Foreign,
}

impl HostRefusal {
    /// 400 for a broken request, 421 for one that went astray.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Several | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

impl AllowedHosts {
    /// Hosts with or without a port; without one any port is theirs. `*.example.com` stands for exactly one label more,
    /// `*` alone for [`Self::Any`].
    ///
    /// # Errors
    /// [`HostsError`].
    pub fn list<S: AsRef<str>>(entries: &[S]) -> Result<Self, HostsError> {
        let entries: Vec<&str> = entries.iter().map(|entry| entry.as_ref().trim()).filter(|e| !e.is_empty()).collect();
        if entries.contains(&"*") {
            return if entries.len() == 1 { Ok(Self::Any) } else { Err(HostsError::AnyAmongOthers) };
        }
        if entries.len() > HOSTS_MAX {
            return Err(HostsError::TooMany { count: entries.len() });
        }
        let parse = |text: &str| {
            let read = || {
                let (host, port) = split_port(text)?;
                Some(HostEntry { host: HostPattern::parse(host)?, port })
            };
            read().ok_or_else(|| HostsError::Entry { text: text.to_owned() })
        };
        Ok(Self::List(entries.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Judges the host that a request was sent to. `forwarded` is what a trusted proxy says the client asked for, which
    /// then counts in place of the `Host` that the proxy wrote; an absolute request target counts in place of `Host`
    /// too (RFC 9112, section 3.2.2). `https` says which port a host without one means.
    ///
    /// # Errors
    /// [`HostRefusal`], whose [`HostRefusal::status`] answers the request.
    pub fn judge<'a>(
        &self,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        forwarded: Option<&'a str>,
        https: bool,
    ) -> Result<JudgedHost<'a>, HostRefusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next().is_some());
        if more {
            return Err(HostRefusal::Several);
        }
        let host = host.ok_or(HostRefusal::Missing)?.to_str().map_err(|_| HostRefusal::Malformed)?;
        let own = Authority::parse(host).ok_or(HostRefusal::Malformed)?;
        let authority = match forwarded.or_else(|| uri.authority().map(http::uri::Authority::as_str)) {
            Some(text) => Authority::parse(text).ok_or(HostRefusal::Malformed)?,
            None => own,
        };
        let listed = self.holds(&authority, https);
        if !listed && *self != Self::Any {
            return Err(HostRefusal::Foreign);
        }
        Ok(JudgedHost { authority, listed })
    }

    fn holds(&self, authority: &Authority<'_>, https: bool) -> bool {
        let Self::List(entries) = self else { return false };
        let port = authority.port.unwrap_or(if https { 443 } else { 80 });
        let is_of = |entry: &HostEntry| entry.port.is_none_or(|own| own == port) && entry.host.matches(authority.host);
        entries.iter().any(is_of)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request(hosts: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        headers
    }

    fn usual() -> AllowedHosts {
        let entries =
            ["chat.example.com", "*.apps.example.com", "admin.example.com:8443", "192.0.2.7", "[2001:db8::1]"];
        AllowedHosts::list(&entries).unwrap()
    }

    fn judge(hosts: &[&str], forwarded: Option<&str>, https: bool) -> Result<bool, HostRefusal> {
        let uri = Uri::from_static("/x");
        usual().judge(&uri, &request(hosts), forwarded, https).map(|judged| judged.listed)
    }

    #[test]
    fn hosts_of_the_list_are_answered_and_foreign_ones_are_not() {
        let table = [
            ("chat.example.com", true, true),
            ("CHAT.example.com:5000", true, true),
            ("chat.example.com.", true, true),
            ("a.apps.example.com", true, true),
            ("apps.example.com", true, false),
            ("a.b.apps.example.com", true, false),
            ("admin.example.com:8443", true, true),
            ("admin.example.com", true, false),
            ("192.0.2.7:80", false, true),
            ("[2001:db8:0::1]:443", true, true),
            ("192.0.2.8", true, false),
            ("evil.org", true, false),
            ("chat.example.com.evil.org", true, false),
        ];
        for (host, https, answered) in table {
            let expected = if answered { Ok(true) } else { Err(HostRefusal::Foreign) };
            assert_eq!(judge(&[host], None, https), expected, "{host}");
        }
        let with_port = AllowedHosts::list(&["a.example:443"]).unwrap();
        let uri = Uri::from_static("/");
        assert!(with_port.judge(&uri, &request(&["a.example"]), None, true).is_ok());
        assert!(with_port.judge(&uri, &request(&["a.example"]), None, false).is_err());
    }

    #[test]
    fn a_request_names_exactly_one_well_formed_host() {
        assert_eq!(judge(&[], None, true), Err(HostRefusal::Missing));
        assert_eq!(judge(&["chat.example.com", "chat.example.com"], None, true), Err(HostRefusal::Several));
        for host in [
            "",
            "chat.example.com, evil.org",
            "user@chat.example.com",
            "chat.example.com/x",
            "chat.example.com:x",
            "a b",
        ] {
            assert_eq!(judge(&[host], None, true), Err(HostRefusal::Malformed), "{host}");
        }
        let mut unreadable = HeaderMap::new();
        unreadable.insert(HOST, HeaderValue::from_bytes(b"\xff.example.com").unwrap());
        let uri = Uri::from_static("/");
        assert_eq!(AllowedHosts::Any.judge(&uri, &unreadable, None, true), Err(HostRefusal::Malformed));
        assert_eq!(HostRefusal::Malformed.status(), StatusCode::BAD_REQUEST);
        assert_eq!(HostRefusal::Foreign.status(), StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn what_a_trusted_proxy_forwards_counts_in_place_of_its_own_host() {
        assert_eq!(judge(&["backend:5000"], Some("chat.example.com"), true), Ok(true));
        assert_eq!(judge(&["chat.example.com"], Some("evil.org"), true), Err(HostRefusal::Foreign));
        assert_eq!(judge(&["chat.example.com"], Some(""), true), Err(HostRefusal::Malformed));
        assert_eq!(judge(&["chat.example.com"], Some("a, b"), true), Err(HostRefusal::Malformed));
    }

    #[test]
    fn an_absolute_target_counts_in_place_of_the_host() {
        let headers = request(&["chat.example.com"]);
        let judge =
            |uri: &'static str| usual().judge(&Uri::from_static(uri), &headers, None, false).map(|host| host.listed);
        assert_eq!(judge("http://evil.org/x"), Err(HostRefusal::Foreign));
        assert_eq!(judge("http://a.apps.example.com/x"), Ok(true));
        assert_eq!(judge("http://user@chat.example.com/x"), Err(HostRefusal::Malformed));
    }

    #[test]
    fn any_host_is_answered_but_not_vouched_for() {
        let any = AllowedHosts::list(&["*"]).unwrap();
        let uri = Uri::from_static("/");
        let headers = request(&["evil.org"]);
        let judged = any.judge(&uri, &headers, None, false).unwrap();
        assert!(!judged.listed && judged.authority == Authority::parse("evil.org").unwrap());
    }

    #[test]
    fn lists_are_checked() {
        for text in ["https://a.example", "a.example/", "*.com", "a.*", "a.example:0", "::1", "a b"] {
            assert_eq!(AllowedHosts::list(&[text]), Err(HostsError::Entry { text: text.to_owned() }), "{text}");
        }
        assert_eq!(AllowedHosts::list(&["*", "a.example"]), Err(HostsError::AnyAmongOthers));
        let many = vec!["a.example"; HOSTS_MAX + 1];
        assert_eq!(AllowedHosts::list(&many), Err(HostsError::TooMany { count: HOSTS_MAX + 1 }));
        // An empty list answers for nothing; whether that is meant is for the caller to say.
        let none = AllowedHosts::list::<&str>(&[]).unwrap();
        assert_eq!(none.judge(&Uri::from_static("/"), &request(&["a"]), None, true), Err(HostRefusal::Foreign));
    }
}
