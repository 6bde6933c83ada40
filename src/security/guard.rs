//! The rules in force, what they have let in and what they have refused: counted, and told to the log within bounds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard as Loaded};
use parking_lot::Mutex;
use ring::digest;

use super::auth::{Action, AuthMode, AuthRefusal, Authenticator, Decision, Identity, RefusalCode};
use super::concurrent::{self, Concurrent};
use super::csrf::CsrfGuard;
use super::csrf_token::CsrfKey;
use super::events::{ConnectionScope, RateScope, SecurityCounters, SecurityEvent};
use super::ip_key::IpKey;
use super::keyed_limit::KeyedLimiter;
use super::rate_limit::{Bucket, Decision as Taken, Rate};
use super::rules::{CsrfRule, Rules};
use crate::app::{ConnectRefusal, EmitError, Handshake};

/// Addresses whose connects are told apart; all others share what one of them may.
const ADDRESSES_MAX: usize = 65_536;
/// Lines about refusals in a second, in the long run and at once; what is beyond is counted in the metrics only.
const LINES_PER_SECOND: u32 = 20;
const LINES_AT_ONCE: u32 = 200;
/// How long a client with too many connections is told to wait, in seconds.
const CONNECTIONS_RETRY_SECONDS: u64 = 5;
/// The cookie of CSRF tokens, and how long one is good, in seconds.
pub(crate) const CSRF_COOKIE: &str = "csrf_token";
const CSRF_TTL_SECONDS: u64 = 12 * 3600;

/// See the module.
#[derive(Debug)]
pub struct Guard {
    in_force: ArcSwap<InForce>,
    authenticator: ArcSwap<Authenticator>,
    inside: Concurrent<IpKey>,
    counters: SecurityCounters,
    lines: Mutex<Bucket>,
    lines_rate: Option<Rate>,
}

/// The rules, and what they need to count.
#[derive(Debug)]
pub struct InForce {
    /// The rules.
    pub rules: Arc<Rules>,
    connects: Option<KeyedLimiter<IpKey>>,
}

/// A connection's place among those of its address, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Place(#[allow(dead_code)] Option<concurrent::Guard<IpKey>>);

/// What is left of a client's messages and bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    messages: Bucket,
    bytes: Bucket,
}

impl Budget {
    pub(crate) fn full(now: Instant) -> Self {
        Self { messages: Bucket::full(now), bytes: Bucket::full(now) }
    }
}

/// A connection that has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany {
    /// Which limit.
    pub(crate) event: SecurityEvent,
    /// How long.
    pub(crate) retry_after_seconds: u64,
}

/// Why it is not known who a client is.
#[derive(Debug)]
pub(crate) enum Unidentified {
    /// It has to do something about it.
    Refused(ConnectRefusal),
    /// Nobody can be identified now: it should come back.
    NotNow,
}

impl Guard {
    /// Keeps these rules.
    #[must_use]
    pub fn new(rules: Arc<Rules>, authenticator: Arc<Authenticator>, connections_max: usize) -> Self {
        Self {
            in_force: ArcSwap::from_pointee(InForce::new(rules)),
            authenticator: ArcSwap::new(authenticator),
            inside: Concurrent::new(connections_max.max(1)),
            counters: SecurityCounters::default(),
            lines: Mutex::new(Bucket::full(Instant::now())),
            lines_rate: Rate::per_second(LINES_PER_SECOND, LINES_AT_ONCE).ok(),
        }
    }

    /// Refuses nothing.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Arc::new(Rules::open()), Arc::new(Authenticator::off()), 1)
    }

    /// What is in force now.
    pub(crate) fn in_force(&self) -> Loaded<Arc<InForce>> {
        self.in_force.load()
    }

    /// Exchanges the rules and who clients are. Connections stay, and are judged by the new ones from here on; fetched keys
    /// stay as well.
    pub fn replace(&self, rules: Arc<Rules>, authenticator: &Authenticator) {
        self.in_force.store(Arc::new(InForce::new(rules)));
        let old = self.authenticator.load();
        if let Err(error) = old.keyring.replace_configured((*authenticator.keyring.current()).clone()) {
            tracing::error!(%error, "the keys of tokens stay as they were");
        }
        self.authenticator.store(Arc::new(Authenticator {
            mode: authenticator.mode,
            places: authenticator.places.clone(),
            claims: authenticator.claims.clone(),
            token_bytes_max: authenticator.token_bytes_max,
            keyring: Arc::clone(&old.keyring),
            jwks: old.jwks.clone(),
        }));
    }

    /// How often each thing was refused.
    #[must_use]
    pub const fn counters(&self) -> &SecurityCounters {
        &self.counters
    }

    /// Counts a refusal and tells the log, within bounds. `detail` never holds a secret.
    pub(crate) fn event(&self, event: SecurityEvent, address: IpAddr, detail: &str) {
        self.counters.count(event);
        let may_tell = self.lines_rate.is_none_or(|rate| self.lines.lock().take(&rate, 1, Instant::now()).is_allowed());
        if may_tell {
            let (event_type, scope) = (event.event_type(), event.scope());
            let error_code = event.error_code();
            tracing::warn!(category = "security", event_type, error_code, scope, client_ip = %address, "security: {detail}");
        }
    }

    /// A new connection of that address, if it may come in.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Place, TooMany> {
        let in_force = self.in_force();
        let key = IpKey::from(address);
        if let Some(connects) = &in_force.connects {
            let taken = connects.take(key, Instant::now());
            if taken.table_full {
                self.counters.count(SecurityEvent::LimitTableFull);
            }
            if let Some(retry_after_seconds) = taken.decision.retry_after_seconds() {
                let event = SecurityEvent::RateLimited(RateScope::ConnectsPerIp);
                self.event(event, address, "too many new connections of one address");
                return Err(TooMany { event, retry_after_seconds });
            }
        }
        // Counted without a limit, too: one that a reload sets meets those that are there already.
        let limit = in_force.rules.limits.connections_per_ip;
        match self.inside.try_enter(key, limit.unwrap_or(u32::MAX)) {
            Ok(place) => Ok(Place(Some(place))),
            Err(_) if limit.is_none() => Ok(Place::default()),
            Err(refused) => {
                let event = SecurityEvent::ConnectionLimit(ConnectionScope::Ip);
                self.event(event, address, &refused.to_string());
                Err(TooMany { event, retry_after_seconds: CONNECTIONS_RETRY_SECONDS })
            }
        }
    }

    /// Takes one message out of a client's budget; the error says which limit it broke.
    pub(crate) fn spend(&self, budget: &mut Budget, bytes: usize) -> Result<(), RateScope> {
        let in_force = self.in_force();
        let limits = &in_force.rules.limits;
        if limits.messages.is_none() && limits.bytes.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(rate) = &limits.messages
            && budget.messages.take(rate, 1, now) != Taken::Allowed
        {
            return Err(RateScope::MessagesPerSession);
        }
        if let Some(rate) = &limits.bytes
            && budget.bytes.take(rate, u32::try_from(bytes).unwrap_or(u32::MAX), now) != Taken::Allowed
        {
            return Err(RateScope::BytesPerSession);
        }
        Ok(())
    }

    /// A client broke a limit of its session.
    pub(crate) fn rate_limited(&self, scope: RateScope, address: IpAddr) {
        self.event(SecurityEvent::RateLimited(scope), address, "a client sent more than it may, and was let go");
    }

    /// How many sessions of a user there may be at once.
    pub(crate) fn sessions_per_user(&self) -> Option<u32> {
        self.in_force().rules.limits.sessions_per_user
    }

    /// Who a client is that connects to a namespace, if it may; `None`: nobody is asked. The application sees it too.
    pub(crate) async fn identify(&self, handshake: &mut Handshake) -> Result<Option<Arc<Identity>>, Unidentified> {
        let authenticator = self.authenticator.load_full();
        if authenticator.mode == AuthMode::Off {
            return Ok(None);
        }
        let address = handshake.request.remote.ip();
        let auth = handshake.auth.clone();
        let judged = authenticator.authenticate_with_fresh_keys(auth.as_deref(), &*handshake.request, unix_now());
        let identity = judged.await.map_err(|refusal| self.not_authenticated(&refusal, address))?;
        let decision = self.in_force().rules.policy.decide(&handshake.namespace, Action::Connect, &identity);
        if let Decision::Denied(code) = decision {
            self.event(SecurityEvent::Forbidden, address, "a namespace's policy does not let a client connect");
            return Err(Unidentified::Refused(refusal(code)));
        }
        let identity = Arc::new(identity);
        handshake.identity = identity.user().is_some().then(|| Arc::clone(&identity));
        Ok(Some(identity))
    }

    fn not_authenticated(&self, refused: &AuthRefusal, address: IpAddr) -> Unidentified {
        let code = refused.code();
        if code.is_temporary() {
            tracing::error!(%refused, "clients cannot be authenticated now");
            return Unidentified::NotNow;
        }
        self.event(SecurityEvent::AuthFailure, address, &format!("authentication failed: {refused}"));
        Unidentified::Refused(refusal(code))
    }

    /// Whether the policy lets a client do something; `None`: authentication is off, and everybody may.
    pub(crate) fn may(
        &self,
        namespace: &str,
        action: Action<'_>,
        identity: Option<&Identity>,
    ) -> Result<(), EmitError> {
        let Some(identity) = identity else { return Ok(()) };
        if self.in_force().rules.policy.decide(namespace, action, identity).is_allowed() {
            return Ok(());
        }
        self.counters.count(SecurityEvent::Forbidden);
        Err(EmitError::Forbidden)
    }
}

impl InForce {
    fn new(rules: Arc<Rules>) -> Self {
        let connects = rules.limits.connects.map(|rate| KeyedLimiter::new(rate, rate, ADDRESSES_MAX, Instant::now()));
        Self { rules, connects }
    }
}

/// A refused CONNECT, with its code for programs.
fn refusal(code: RefusalCode) -> ConnectRefusal {
    ConnectRefusal::with_code(code.message(), code.as_str())
}

/// Judges requests with cookies by a rule; the cluster's own key stands in for a secret of its own.
pub(crate) fn csrf_guard(rule: &CsrfRule, cluster_key: &[u8; 32]) -> Option<CsrfGuard> {
    let key = match &rule.secret {
        Some(secret) => {
            let mut key = [0; 32];
            key.copy_from_slice(digest::digest(&digest::SHA256, secret.reveal().as_bytes()).as_ref());
            CsrfKey::derive(&key)
        }
        None => CsrfKey::derive(cluster_key),
    };
    // The names were checked with the configuration.
    CsrfGuard::new(key, None, rule.cookies.clone(), CSRF_COOKIE.to_owned(), CSRF_TTL_SECONDS).ok()
}

/// Seconds since 1970, by which tokens are judged: nothing else goes by this clock.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[path = "guard_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
