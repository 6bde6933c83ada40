//! Tokens: as a stranger would write them, and signed, so that what they claim is read.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use vedfolnir::security::auth::{
    AuthMode, Authenticator, ClaimName, ClaimRules, Key, KeySet, Keyring, OpeningRequest, ROLES_MAX, TOKEN_BYTES_MAX,
    TokenPlaces,
};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// The token and its parts decoded; its claims as a tree, which is where most of it goes: a value of two bytes is held in 32,
/// in a list that doubles.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;
const SECRET: [u8; 32] = [5; 32];
const NOW: u64 = 1_800_000_000;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let keys = KeySet::new([Key::hs256(&SECRET).expect("a secret")]).expect("a key");
    let issuers = vec!["https://issuer.example".to_owned()];
    let roles = ClaimName::new("/realm_access/roles");
    Authenticator {
        mode: AuthMode::Required,
        places: TokenPlaces {
            query: Some("access_token".into()),
            cookie: Some("token".into()),
            ..TokenPlaces::default()
        },
        claims: ClaimRules { issuers, roles, expiry_required: false, ..ClaimRules::default() },
        token_bytes_max: TOKEN_BYTES_MAX,
        keyring: Arc::new(Keyring::new(keys).expect("a key")),
        jwks: None,
    }
});

struct Request<'a> {
    authorization: Option<&'a str>,
    cookie: Option<&'a str>,
    query: &'a str,
}

impl OpeningRequest for Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        match name {
            "authorization" => self.authorization,
            "cookie" => self.cookie,
            _ => None,
        }
    }

    fn query(&self) -> &str {
        self.query
    }
}

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    if input.below(2) == 0 {
        let mut line = || std::str::from_utf8(input.line()).ok();
        let request = Request { authorization: line(), cookie: line(), query: line().unwrap_or_default() };
        assert!(AUTHENTICATOR.authenticate(Some(input.0), &request, NOW).is_err(), "a token that nobody signed");
        return;
    }
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(input.line()), URL_SAFE_NO_PAD.encode(input.0));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    let bearer = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    let request = Request { authorization: Some(&bearer), cookie: None, query: "" };
    let Ok(identity) = AUTHENTICATOR.authenticate(None, &request, NOW) else { return };
    assert!(identity.user().is_some_and(|user| !user.is_empty()));
    assert!(identity.roles().iter().count() <= ROLES_MAX);
}
