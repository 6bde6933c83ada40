//! Clients' addresses and programs in logs: in full, masked or not at all (`WEBSOCKET_LOG_PII`).
//!
//! Masked, an address keeps its network: `203.0.113.0/24` of IPv4, `2001:db8:1::/48` of IPv6; a program keeps its name and
//! version, not what it runs on. Addresses are those of clients: `client_ip`, the fields that usually hold one
//! ([`is_address_field`]), and whatever looks like one in texts of the categories that are about clients.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::level::Category;

/// How much of clients is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pii {
    /// Everything.
    #[default]
    Full,
    /// The network of an address, the first word of a program's name.
    Mask,
    /// Neither address nor program.
    None,
}

impl Pii {
    /// A client's address as it is shown: IPv6 in its canonical form (RFC 5952), an IPv4 address mapped into IPv6 as
    /// IPv4. `None`: not at all.
    #[must_use]
    pub fn address(self, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        match self {
            Self::Full => Some(address.to_string()),
            Self::Mask => Some(masked(address)),
            Self::None => None,
        }
    }

    /// A client's program as it is shown.
    #[must_use]
    pub fn user_agent(self, user_agent: &str) -> Option<&str> {
        match self {
            Self::Full => Some(user_agent),
            Self::Mask => user_agent.split([' ', '(', ';', ',']).next().filter(|first| !first.is_empty()),
            Self::None => None,
        }
    }

    /// The value of a field that holds a client's address: with or without a port, or something else, which is hidden
    /// unless everything is shown. `None`: it is not shown at all.
    #[must_use]
    pub fn address_field(self, text: &str) -> Option<Cow<'_, str>> {
        if self == Self::Full {
            return Some(Cow::Borrowed(text));
        }
        let address = parse(text.trim())?;
        self.address(address).map(Cow::Owned)
    }

    /// A text with the addresses in it masked, where they may be clients'.
    #[must_use]
    pub fn text(self, text: &str, category: Category) -> Cow<'_, str> {
        let is_about_clients = !matches!(category, Category::System | Category::Error);
        if self == Self::Full || !is_about_clients { Cow::Borrowed(text) } else { self.addresses_in(text) }
    }

    fn addresses_in(self, text: &str) -> Cow<'_, str> {
        let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        let mut out = String::new();
        let mut rest = text;
        let mut changed = false;
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
            let (run, after) = from.split_at(end);
            // What ends a sentence ends no address.
            let core = run.trim_end_matches(['.', ':']);
            // An address with a port is one as well; one without brackets could be anything.
            let address = core.parse::<IpAddr>().ok().map(|address| (address, "")).or_else(|| {
                let (host, _) = core.rsplit_once(':')?;
                Some((IpAddr::V4(host.parse().ok()?), core.get(host.len()..)?))
            });
            out.push_str(before);
            match address {
                Some((address, port)) => {
                    out.push_str(self.address(address).as_deref().unwrap_or("-"));
                    out.push_str(port);
                    out.push_str(run.get(core.len()..).unwrap_or_default());
                    changed = true;
                }
                None => out.push_str(run),
            }
            rest = after;
        }
        if !changed {
            return Cow::Borrowed(text);
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// Whether a field of that name usually holds a client's address.
#[must_use]
pub(crate) fn is_address_field(name: &str) -> bool {
    matches!(
        name,
        "client_ip"
            | "remote"
            | "remote_addr"
            | "remote_ip"
            | "client_addr"
            | "client"
            | "ip"
            | "forwarded_for"
            | "x_forwarded_for"
    )
}

/// An address, with or without a port.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn masked(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_shown_in_full_masked_or_not() {
        let table = [
            ("203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
            ("2001:0db8:0001:0002:0000:0000:0000:0003", "2001:db8:1:2::3", "2001:db8:1::/48"),
            ("::1", "::1", "::/48"),
        ];
        for (given, full, mask) in table {
            assert_eq!(Pii::Full.address(address(given)).as_deref(), Some(full));
            assert_eq!(Pii::Mask.address(address(given)).as_deref(), Some(mask));
            assert_eq!(Pii::None.address(address(given)), None);
        }
    }

    #[test]
    fn a_program_keeps_its_name() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0";
        assert_eq!(Pii::Full.user_agent(agent), Some(agent));
        assert_eq!(Pii::Mask.user_agent(agent), Some("Mozilla/5.0"));
        assert_eq!(Pii::Mask.user_agent("(odd)"), None);
        assert_eq!(Pii::None.user_agent(agent), None);
    }

    #[test]
    fn address_fields_that_hold_something_else_are_not_shown() {
        assert_eq!(Pii::Mask.address_field("203.0.113.77:5000").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(Pii::Mask.address_field("[2001:db8::1]:5000").as_deref(), Some("2001:db8::/48"));
        assert_eq!(Pii::Mask.address_field("Anna's phone"), None);
        assert_eq!(Pii::None.address_field("203.0.113.77"), None);
        assert_eq!(Pii::Full.address_field("Anna's phone").as_deref(), Some("Anna's phone"));
    }

    #[test]
    fn addresses_in_texts_about_clients_are_masked() {
        let text = "from 203.0.113.77:5000, then 2001:db8:1:2::3. At 10:30:00 v1.2.3 face: bad";
        let masked = "from 203.0.113.0/24:5000, then 2001:db8:1::/48. At 10:30:00 v1.2.3 face: bad";
        assert_eq!(Pii::Mask.text(text, Category::Security), masked);
        assert_eq!(Pii::None.text("peer 203.0.113.77", Category::Connection), "peer -");
        assert_eq!(Pii::Full.text(text, Category::Security), text);
        assert_eq!(Pii::Mask.text("listening on 10.0.0.1:5000", Category::System), "listening on 10.0.0.1:5000");
    }
}
