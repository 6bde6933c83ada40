//! Who a client is, once that is known.

use std::sync::Arc;
use std::time::Duration;

/// Bytes of a user's name: the bound of names in the replicated state.
pub const NAME_BYTES_MAX: usize = 256;
/// Roles of one client.
pub const ROLES_MAX: usize = 128;
/// Bytes of a role's name.
pub const ROLE_BYTES_MAX: usize = 128;

/// How a token came. A browser sends a cookie by itself, also for another site's page: then the request must be shown not
/// to be forged across sites (CSRF) before the identity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In the auth object of the CONNECT packet: `io(url, {auth: {token}})`.
    AuthObject,
    /// In the `Authorization` header of the request that opened the connection.
    Bearer,
    /// In the query of that request.
    Query,
    /// In a cookie of that request.
    Cookie,
}

impl TokenSource {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthObject => "auth_object",
            Self::Bearer => "bearer",
            Self::Query => "query",
            Self::Cookie => "cookie",
        }
    }

    /// Whether the browser adds it without the page's doing.
    #[must_use]
    pub const fn is_ambient(self) -> bool {
        matches!(self, Self::Cookie)
    }
}

/// A client's identity in one namespace; cheap to clone.
///
/// Invariant: without a user there are no roles and no expiry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    user: Option<Arc<str>>,
    roles: Roles,
    expires_at: Option<u64>,
    source: Option<TokenSource>,
}

impl Identity {
    /// Nobody in particular: authentication is off, or optional and not used.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user.
    #[must_use]
    pub const fn of(user: Arc<str>, roles: Roles, expires_at: Option<u64>, source: TokenSource) -> Self {
        Self { user: Some(user), roles, expires_at, source: Some(source) }
    }

    /// Who it is: a session belongs to this user, and only this user resumes it. `None`: nobody in particular.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Its roles.
    #[must_use]
    pub const fn roles(&self) -> &Roles {
        &self.roles
    }

    /// When the connection must end unless a newer token was shown, skew included; unix seconds.
    #[must_use]
    pub const fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }

    /// How its token came.
    #[must_use]
    pub const fn source(&self) -> Option<TokenSource> {
        self.source
    }

    /// How much longer it holds at `now` (unix seconds); zero: it is over. `None`: it does not expire.
    #[must_use]
    pub fn remaining(&self, now: u64) -> Option<Duration> {
        self.expires_at.map(|at| Duration::from_secs(at.saturating_sub(now)))
    }
}

/// Why a list of roles is refused. Never shortened instead: a rule that denies a role would then miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolesRefused {
    /// Neither a list of texts nor a text.
    #[error("neither a list of texts nor one text separated by spaces")]
    Type,
    /// Too many.
    #[error("more than {ROLES_MAX} roles")]
    TooMany,
    /// Not a name.
    #[error("a role is not a text of 1 to {ROLE_BYTES_MAX} bytes without control characters")]
    Name,
}

/// Names of roles, sorted, each once; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Option<Arc<[Box<str>]>>);

impl Roles {
    /// These roles.
    ///
    /// # Errors
    /// [`RolesRefused`] beyond the bounds.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, RolesRefused> {
        let mut roles: Vec<Box<str>> = Vec::new();
        for name in names {
            if !is_role(name) {
                return Err(RolesRefused::Name);
            }
            if roles.len() == ROLES_MAX {
                return Err(RolesRefused::TooMany);
            }
            roles.push(name.into());
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(Self((!roles.is_empty()).then(|| roles.into())))
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, role: &str) -> bool {
        self.0.as_ref().is_some_and(|roles| roles.binary_search_by(|have| (**have).cmp(role)).is_ok())
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|roles| roles.iter().map(AsRef::as_ref))
    }
}

/// Whether a text can be a user's name: control characters have no place in logs and room names.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether a text can be a role's name.
pub(super) fn is_role(text: &str) -> bool {
    !text.is_empty() && text.len() <= ROLE_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_set_and_bounded() {
        let roles = Roles::new(["member", "admin", "member"]).unwrap();
        assert_eq!(roles.iter().collect::<Vec<_>>(), ["admin", "member"]);
        assert!(roles.contains("admin") && roles.contains("member"));
        for other in ["Admin", "adm", "admin ", "", "moderator"] {
            assert!(!roles.contains(other), "{other:?}");
        }
        assert_eq!(Roles::new([]).unwrap(), Roles::default());
        assert!(!Roles::default().contains(""));
        assert_eq!(Roles::new(["a", ""]), Err(RolesRefused::Name));
        assert_eq!(Roles::new(["a\nb"]), Err(RolesRefused::Name));
        let long = "r".repeat(ROLE_BYTES_MAX);
        assert!(Roles::new([long.as_str()]).unwrap().contains(&long));
        assert_eq!(Roles::new([format!("{long}r").as_str()]), Err(RolesRefused::Name));
        let names: Vec<String> = (0..=ROLES_MAX).map(|n| n.to_string()).collect();
        assert!(Roles::new(names[..ROLES_MAX].iter().map(String::as_str)).is_ok());
        assert_eq!(Roles::new(names.iter().map(String::as_str)), Err(RolesRefused::TooMany));
    }

    #[test]
    fn what_remains_ends_at_zero() {
        let identity = Identity::of("ada".into(), Roles::default(), Some(100), TokenSource::Bearer);
        assert_eq!(identity.remaining(40), Some(Duration::from_secs(60)));
        assert_eq!(identity.remaining(100), Some(Duration::ZERO));
        assert_eq!(identity.remaining(500), Some(Duration::ZERO));
        assert_eq!(Identity::anonymous().remaining(500), None);
    }

    #[test]
    fn only_a_cookie_comes_by_itself() {
        let sources = [TokenSource::AuthObject, TokenSource::Bearer, TokenSource::Query, TokenSource::Cookie];
        assert_eq!(sources.map(TokenSource::is_ambient), [false, false, false, true]);
    }
}
