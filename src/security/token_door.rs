//! Which role the token of a request has, for listeners of operators and programs: compared in constant time, and not looked
//! at while an address has shown too many wrong ones.
//!
//! Until then no token of that address is looked at, so that guessing on tells nothing, not even by the right guess. That
//! holds for an honest caller behind the same address, too.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use parking_lot::Mutex;

use super::bearer;
use super::ip_key::IpKey;
use super::keyed_limit::KeyedLimiter;
use super::rate_limit::Rate;
use super::secret::Secret;

/// Wrong tokens of one address before it has to wait.
pub(crate) const WRONG_AT_ONCE: u32 = 5;
/// How long until one more is looked at.
pub(crate) const WRONG_PAUSE: Duration = Duration::from_secs(10);
/// Addresses that are told apart.
const ADDRESSES_MAX: usize = 1_024;

/// Tokens, each with its role `R`.
pub(crate) struct TokenDoor<R> {
    tokens: ArcSwap<Vec<(Secret, R)>>,
    wrong: Option<KeyedLimiter<IpKey>>,
    /// One token is compared at a time: guesses that come together are counted before the next is looked at.
    comparing: Mutex<()>,
}

/// Why nothing is done for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It shows no token.
    NoToken,
    /// Its token is wrong.
    Wrong,
    /// There were too many wrong ones; its own was not looked at.
    Waits {
        /// Until one is.
        retry_after_seconds: u64,
    },
}

impl<R: Copy + Ord> TokenDoor<R> {
    /// With these tokens.
    pub(crate) fn new(tokens: Vec<(Secret, R)>) -> Self {
        let rate = Rate::new(1, WRONG_PAUSE, WRONG_AT_ONCE).ok();
        let wrong = rate.map(|rate| KeyedLimiter::new(rate, rate, ADDRESSES_MAX, Instant::now()));
        Self { tokens: ArcSwap::from_pointee(tokens), wrong, comparing: Mutex::new(()) }
    }

    /// From now on these are the tokens.
    pub(crate) fn replace(&self, tokens: Vec<(Secret, R)>) {
        self.tokens.store(std::sync::Arc::new(tokens));
    }

    /// The role of a request's token, the greatest if it is that of several; `None`: there are no tokens.
    pub(crate) fn role(&self, headers: &HeaderMap, address: IpAddr, now: Instant) -> Result<Option<R>, Refused> {
        let tokens = self.tokens.load();
        if tokens.is_empty() {
            return Ok(None);
        }
        let shown = bearer::token(headers).ok_or(Refused::NoToken)?;
        let key = IpKey::from(address);
        let _alone = self.comparing.lock();
        let waits = self.wrong.as_ref().and_then(|wrong| wrong.peek(&key, now).retry_after_seconds());
        if let Some(retry_after_seconds) = waits {
            return Err(Refused::Waits { retry_after_seconds });
        }
        // All are compared, whichever fits.
        let fitting = tokens.iter().filter_map(|(token, role)| bearer::is_same(shown, token).then_some(*role));
        fitting.max().map(Some).ok_or_else(|| {
            // It was let in by the look before.
            let _ = self.wrong.as_ref().map(|wrong| wrong.take(key, now));
            Refused::Wrong
        })
    }
}
