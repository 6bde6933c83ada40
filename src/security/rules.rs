//! Every rule of the public listeners that can change while the node runs, as one value that is exchanged at once.

use super::auth::Policy;
use super::headers::SecurityHeaders;
use super::hosts::AllowedHosts;
use super::hsts::Hsts;
use super::origin::OriginPolicy;
use super::proxy::ProxyTrust;
use super::rate_limit::Rate;
use super::redirect::HttpsRedirect;
use super::secret::Secret;

/// See the module.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose word about the client counts.
    pub proxies: ProxyTrust,
    /// Names under which the service may be addressed.
    pub hosts: AllowedHosts,
    /// Web pages that may connect.
    pub origins: OriginPolicy,
    /// What happens to plain HTTP.
    pub https: HttpsRule,
    /// Headers that every answer carries; `None`: none.
    pub headers: Option<SecurityHeaders>,
    /// HSTS, for answers by HTTPS.
    pub hsts: Option<Hsts>,
    /// Requests that cookies authenticate; `None`: none are.
    pub csrf: Option<CsrfRule>,
    /// How much, how often.
    pub limits: Limits,
    /// Who may do what in which namespace.
    pub policy: Policy,
}

/// What happens to plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpsRule {
    /// It is served.
    Plain,
    /// It is refused.
    Required,
    /// It is sent where HTTPS is.
    Redirected(HttpsRedirect),
}

/// Requests that a login's cookie authenticates.
#[derive(Clone, Debug)]
pub struct CsrfRule {
    /// The login's cookies.
    pub cookies: Vec<String>,
    /// The tokens' key; `None`: made of the cluster's own.
    pub secret: Option<Secret>,
}

/// How much, how often; `None`: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// New connections of one address.
    pub connects: Option<Rate>,
    /// Messages of one client.
    pub messages: Option<Rate>,
    /// Bytes of one client.
    pub bytes: Option<Rate>,
    /// Connections of one address at once.
    pub connections_per_ip: Option<u32>,
    /// Sessions of one user, connected anywhere in the cluster.
    pub sessions_per_user: Option<u32>,
}

impl Rules {
    /// The same where the listener with TLS has been given a port by the system: redirects lead there.
    #[must_use]
    pub fn with_tls_port(&self, port: Option<u16>) -> Self {
        let mut rules = self.clone();
        if let (HttpsRule::Redirected(HttpsRedirect::SameHost { port: to }), Some(port)) = (&mut rules.https, port)
            && *to == 0
        {
            *to = port;
        }
        rules
    }

    /// Nothing is refused: for tests and for embedding applications that guard themselves.
    #[must_use]
    pub fn open() -> Self {
        Self {
            proxies: ProxyTrust::default(),
            hosts: AllowedHosts::Any,
            origins: OriginPolicy::open(),
            https: HttpsRule::Plain,
            headers: None,
            hsts: None,
            csrf: None,
            limits: Limits::default(),
            policy: Policy::built_in(super::auth::AuthMode::Off),
        }
    }
}
