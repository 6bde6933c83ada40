//! The affinity cookie and its twin, the key in a query: which node a client was given to, signed, without the node's name.
//!
//! ```text
//!   base64url, no padding, of   version (1) · node (8) · expiry, Unix seconds (8, big-endian) · tag (16)
//!   tag = the first half of HMAC-SHA256(key, label · version · node · expiry)
//! ```
//!
//! Balancers keep a client on its node by it; nothing here depends on it, so a value that is not good is only replaced. A
//! balancer may use the same cookie's name for values of its own: what is not of this length and alphabet is somebody
//! else's, and is left alone.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::cookies;

/// Bytes of a value's text.
pub const TEXT_BYTES: usize = 44;
/// Cookies of the name that are looked at: a subdomain may have set others.
const COOKIES_MAX: usize = 4;

const VERSION: u8 = 1;
const CLAIM_BYTES: usize = 17;
const TAG_BYTES: usize = 16;
const LABEL: &[u8] = b"vedfolnir affinity";
const KEY_LABEL: &[u8] = b"vedfolnir affinity key";

/// When browsers send the cookie along (RFC 6265bis, section 5.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With requests of the site's own pages, and when the user follows a link to it.
    Lax,
    /// With requests of the site's own pages only.
    Strict,
    /// With all requests: for pages of other sites. Browsers want it `Secure` then.
    None,
}

impl SameSite {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// What a cluster gives its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityRule {
    /// The cookie's name.
    pub cookie: String,
    /// The name of the same in a query, and in the handshake's data.
    pub key: String,
    /// How long it is good, in seconds.
    pub seconds: u64,
    /// When browsers send it.
    pub same_site: SameSite,
}

/// What values are made and checked with.
#[derive(Clone)]
pub struct AffinityKey(hmac::Key);

impl fmt::Debug for AffinityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AffinityKey(..)")
    }
}

/// What a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// This node, until then (Unix seconds).
    Good {
        /// The node.
        node: u64,
        /// Until when, in Unix seconds.
        expiry: u64,
    },
    /// It was good once.
    Expired,
    /// It looks like one of ours and was not made with this key.
    Forged,
    /// It is none of ours.
    Foreign,
}

impl AffinityKey {
    /// The key that goes with a secret which all nodes of the cluster share and which has other uses.
    #[must_use]
    pub fn derive(secret: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), KEY_LABEL);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A value that names `node` until `expiry` (Unix seconds).
    #[must_use]
    pub fn issue(&self, node: u64, expiry: u64) -> String {
        let mut value = [0; CLAIM_BYTES + TAG_BYTES];
        let (claim, tag) = value.split_at_mut(CLAIM_BYTES);
        claim[0] = VERSION;
        claim[1..9].copy_from_slice(&node.to_be_bytes());
        claim[9..].copy_from_slice(&expiry.to_be_bytes());
        tag.copy_from_slice(&self.tag(claim));
        URL_SAFE_NO_PAD.encode(value)
    }

    /// Reads a value at `now` (Unix seconds).
    #[must_use]
    pub fn read(&self, text: &[u8], now: u64) -> Shown {
        let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() != TEXT_BYTES || !text.iter().all(is_ours) {
            return Shown::Foreign;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Shown::Forged };
        let Some((claim, tag)) = bytes.split_first_chunk::<CLAIM_BYTES>() else { return Shown::Forged };
        if !bool::from(self.tag(claim).ct_eq(tag)) || claim[0] != VERSION {
            return Shown::Forged;
        }
        let number = |at: usize| claim[at..at + 8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let (node, expiry) = (number(1), number(9));
        if now >= expiry { Shown::Expired } else { Shown::Good { node, expiry } }
    }

    fn tag(&self, claim: &[u8]) -> [u8; TAG_BYTES] {
        let signed = hmac::sign(&self.0, &[LABEL, claim].concat());
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&signed.as_ref()[..TAG_BYTES]);
        tag
    }
}

/// What becomes of a handshake's cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The client is given this one.
    pub set_cookie: Option<HeaderValue>,
    /// It showed one that nobody here has made, as a cookie or as a key.
    pub forged: bool,
}

impl AffinityRule {
    /// Judges a handshake that came to `node` at `now` (Unix seconds); `key` is what its query shows, `https` how it came.
    #[must_use]
    pub fn judge(
        &self,
        with: &AffinityKey,
        node: u64,
        headers: &HeaderMap,
        key: Option<&str>,
        https: bool,
        now: u64,
    ) -> Verdict {
        let read = |text: &[u8]| with.read(text, now);
        let shown: Vec<Shown> = cookies::values(headers, &self.cookie).take(COOKIES_MAX).map(read).collect();
        let by_key = key.map(|text| read(text.as_bytes()));
        let forged = shown.iter().chain(&by_key).any(|shown| *shown == Shown::Forged);
        // Renewed while it is good for half of its time still, so that whoever comes often never has none.
        let later = now.saturating_add(self.seconds / 2);
        let is_kept = |shown: &Shown| match shown {
            Shown::Good { node: named, expiry } => *named == node && *expiry > later,
            // A balancer's own: two that overwrite each other would both be useless.
            Shown::Foreign => true,
            Shown::Expired | Shown::Forged => false,
        };
        let set_cookie = if shown.iter().any(is_kept) { None } else { self.set_cookie(with, node, https, now) };
        Verdict { set_cookie, forged }
    }

    fn set_cookie(&self, with: &AffinityKey, node: u64, https: bool, now: u64) -> Option<HeaderValue> {
        let value = with.issue(node, now.saturating_add(self.seconds));
        let secure = if https || self.same_site == SameSite::None { "; Secure" } else { "" };
        let (name, seconds, same_site) = (&self.cookie, self.seconds, self.same_site.as_str());
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        // A token of RFC 9110 and base64url: always a header's value.
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key() -> AffinityKey {
        AffinityKey::derive(&[7; 32])
    }

    fn rule() -> AffinityRule {
        let (cookie, key) = ("WEBSOCKET_SERVER".to_owned(), "websocket_server_id".to_owned());
        AffinityRule { cookie, key, seconds: 3600, same_site: SameSite::Lax }
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, format!("a=1; WEBSOCKET_SERVER={value}").parse().unwrap())])
    }

    fn judge(cookie: &str, query: Option<&str>) -> Verdict {
        rule().judge(&key(), 3, &headers(cookie), query, false, NOW)
    }

    #[test]
    fn a_value_names_its_node_until_it_expires_and_shows_no_name() {
        let value = key().issue(3, NOW + 10);
        assert_eq!(value.len(), TEXT_BYTES);
        assert_eq!(key().read(value.as_bytes(), NOW), Shown::Good { node: 3, expiry: NOW + 10 });
        assert_eq!(key().read(value.as_bytes(), NOW + 10), Shown::Expired);
        assert_eq!(AffinityKey::derive(&[8; 32]).read(value.as_bytes(), NOW), Shown::Forged);
        assert_eq!(format!("{:?}", key()), "AffinityKey(..)");
    }

    #[test]
    fn a_first_answer_has_the_cookie_and_a_later_one_has_none() {
        let first = rule().judge(&key(), 3, &HeaderMap::new(), None, false, NOW);
        let text = first.set_cookie.as_ref().unwrap().to_str().unwrap();
        let (value, rest) = text.strip_prefix("WEBSOCKET_SERVER=").unwrap().split_once(';').unwrap();
        assert_eq!(rest, " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        assert_eq!(key().read(value.as_bytes(), NOW), Shown::Good { node: 3, expiry: NOW + 3600 });
        assert_eq!(judge(value, None), Verdict { set_cookie: None, forged: false });
        // By HTTPS it is for HTTPS only; for other sites always.
        let set =
            |rule: &AffinityRule, https| rule.judge(&key(), 3, &HeaderMap::new(), None, https, NOW).set_cookie.unwrap();
        assert!(set(&rule(), true).to_str().unwrap().ends_with("SameSite=Lax; Secure"));
        let cross = AffinityRule { same_site: SameSite::None, ..rule() };
        assert!(set(&cross, false).to_str().unwrap().ends_with("SameSite=None; Secure"));
    }

    #[test]
    fn it_is_renewed_when_half_its_time_is_over_and_when_the_client_came_elsewhere() {
        for (node, left, renewed) in [(3, 3600, false), (3, 1801, false), (3, 1800, true), (4, 3600, true)] {
            let verdict = judge(&key().issue(node, NOW + left), None);
            assert_eq!((verdict.set_cookie.is_some(), verdict.forged), (renewed, false), "{node} {left}");
        }
        assert!(judge(&key().issue(3, NOW), None).set_cookie.is_some(), "an expired one is replaced");
    }

    #[test]
    fn a_forged_one_is_replaced_and_told_and_a_balancers_own_is_left_alone() {
        let good = key().issue(3, NOW + 3600);
        let forged = format!("{}{}", &good[..43], if good.ends_with('A') { 'E' } else { 'A' });
        let verdict = judge(&forged, None);
        assert!(verdict.forged && verdict.set_cookie.is_some());
        for foreign in
            ["s1", "", "0123456789abcdef", &"f".repeat(40), &format!("{}!", &good[..43]), &format!("{good}A")]
        {
            assert_eq!(judge(foreign, None), Verdict { set_cookie: None, forged: false }, "{foreign:?}");
        }
        assert!(judge(&good, Some(&forged)).forged, "the key in the query is signed, too");
        assert!(!judge(&good, Some(&good)).forged && !judge(&good, Some("node-1")).forged);
    }

    proptest! {
        #[test]
        fn every_changed_bit_is_noticed(bit in 0_usize..33 * 8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(key().issue(9, NOW + 1)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key().read(URL_SAFE_NO_PAD.encode(&bytes).as_bytes(), NOW), Shown::Forged);
        }

        #[test]
        fn no_bytes_are_taken_for_good(text in prop::collection::vec(any::<u8>(), 0..60), ours in "[A-Za-z0-9_-]{44}") {
            let is_good = |text: &[u8]| matches!(key().read(text, NOW), Shown::Good { .. });
            prop_assert!(!is_good(&text));
            prop_assert!(!is_good(ours.as_bytes()));
        }
    }
}
