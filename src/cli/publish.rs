//! `vedfolnir publish`: one event by the HTTP API of any node, once, however many attempts it takes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vedfolnir::api::client::{Answer, ApiClient, ApiUrl};
use vedfolnir::security::auth::client_tls;
use vedfolnir::security::secret::Secret;

use super::door::{read_token, variable};
use super::{Failure, out, runtime};

/// Where the API is asked for if nothing names it.
const DEFAULT_API: &str = "127.0.0.1:5003";
/// A node answers within ten seconds, if only that it does not know.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two rounds of attempts, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    /// A node's HTTP API: HOST:PORT, http://HOST:PORT or https://HOST[:PORT]; of several, each is tried in turn [default:
    /// what WEBSOCKET_API_ADDR gives, else 127.0.0.1:5003]
    #[arg(long, value_name = "URL")]
    api: Vec<String>,
    /// File of the token that the API asks for [default: what WEBSOCKET_API_PUBLISH_TOKEN, WEBSOCKET_API_TOKEN, or the same
    /// with _FILE give, if anything]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The namespace
    #[arg(long, value_name = "NAME", default_value = "/")]
    namespace: String,
    /// To who is in this room, or in any of these; without --room, --user and --session to the whole namespace
    #[arg(long, value_name = "ROOM", conflicts_with_all = ["user", "session"])]
    room: Vec<String>,
    /// To every client of this user
    #[arg(long, value_name = "USER", conflicts_with = "session")]
    user: Option<String>,
    /// To the one client with this socket.id
    // Ids are base64url: one in 64 begins like an option.
    #[arg(long, value_name = "SID", allow_hyphen_values = true)]
    session: Option<String>,
    /// But to nobody who is in this room
    #[arg(long, value_name = "ROOM")]
    except: Vec<String>,
    /// Only to those who are connected now; may be lost
    #[arg(long, conflicts_with = "idempotency_key")]
    volatile: bool,
    /// Whoever publishes again under this key does not [default: one that is made up, for this command's own attempts]
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// The event's name
    event: String,
    /// Its arguments, each as JSON: 7, '"text"', '{"a":[true]}'
    #[arg(value_name = "JSON_ARG", allow_negative_numbers = true)]
    args: Vec<String>,
}

/// As the API takes it.
#[derive(Serialize)]
struct Body<'a> {
    namespace: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    rooms: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    except: &'a [String],
    event: &'a str,
    args: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "is_false")]
    volatile: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Deserialize)]
struct Published {
    offset: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
    field: Option<String>,
}

fn idempotency_key(text: &str) -> Result<String, String> {
    vedfolnir::app::check_idempotency_key(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl PublishArgs {
    fn urls(&self) -> Result<Vec<ApiUrl>, Failure> {
        let named = match self.api.as_slice() {
            [] => vec![variable("WEBSOCKET_API_ADDR").unwrap_or_else(|| DEFAULT_API.to_owned())],
            named => named.to_vec(),
        };
        let read = |text: &String| {
            let refused = |form| Failure::configuration(format!("--api = {text:?} is refused: {form}"));
            text.parse().map_err(refused)
        };
        named.iter().map(read).collect()
    }

    fn token(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.token_file {
            return read_token(path, "--token-file").map(Some);
        }
        for name in ["WEBSOCKET_API_PUBLISH_TOKEN", "WEBSOCKET_API_TOKEN"] {
            let of_file = format!("{name}_FILE");
            if let Some(path) = variable(&of_file) {
                return read_token(Path::new(&path), &of_file).map(Some);
            }
            if let Some(token) = variable(name) {
                return Ok(Some(token.trim().to_owned().into()));
            }
        }
        Ok(None)
    }

    fn body(&self) -> Result<Vec<u8>, Failure> {
        let read = |(index, text): (usize, &'_ String)| {
            serde_json::from_str::<Box<RawValue>>(text).map_err(|error| {
                let form = "accepted: any JSON, a text in its quotation marks: '\"text\"'";
                Failure::configuration(format!("JSON_ARG {} = {text:?} is refused: {error}; {form}", index + 1))
            })
        };
        let args: Vec<Box<RawValue>> = self.args.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let body = Body {
            namespace: &self.namespace,
            rooms: &self.room,
            user: self.user.as_deref(),
            session: self.session.as_deref(),
            except: &self.except,
            event: &self.event,
            args: args.iter().map(AsRef::as_ref).collect(),
            volatile: self.volatile,
        };
        serde_json::to_vec(&body).map_err(|error| Failure::other(error.to_string()))
    }
}

pub(crate) fn run(arguments: PublishArgs) -> Result<(), Failure> {
    let (urls, token, body) = (arguments.urls()?, arguments.token()?, arguments.body()?);
    let tls = urls.iter().any(ApiUrl::is_secure).then(|| client_tls(None)).transpose();
    let tls = tls.map_err(|error| Failure::other(error.to_string()))?;
    let key = match (&arguments.idempotency_key, arguments.volatile) {
        (Some(key), _) => Some(key.clone()),
        (None, true) => None,
        (None, false) => Some(made_up()?),
    };
    let client = ApiClient::new(token, tls);
    let within = Duration::from_secs(arguments.timeout);
    runtime::block_on(Some(1), async move {
        let answer = persist(&client, &urls, key.as_deref(), body.into(), within).await?;
        let published: Published = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::other(format!("the node's answer is not understood: {error}")))?;
        if let Some(offset) = published.offset {
            out::stdout(&format!("{offset}\n"));
        }
        Ok(())
    })
}

/// A key that nobody else has.
fn made_up() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::other(format!("the system gives no random bytes: {error}")))?;
    Ok(format!("vedfolnir-publish-{:032x}", u128::from_be_bytes(random)))
}

/// Asks one API after the other, again and again, until one has published it or says that it never will.
async fn persist(
    client: &ApiClient,
    urls: &[ApiUrl],
    key: Option<&str>,
    body: bytes::Bytes,
    within: Duration,
) -> Result<Answer, Failure> {
    let deadline = Instant::now() + within;
    let mut pause = PAUSE.0;
    loop {
        let mut last = String::new();
        for url in urls {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !last.is_empty() {
                break;
            }
            let attempt = client.post(url, "/api/v1/publish", key, body.clone(), ATTEMPT_TIMEOUT.min(left)).await;
            match attempt {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let reason = format!("{url} answers {}", words(&answer));
                    if !answer.status.is_server_error() {
                        return Err(Failure::other(reason));
                    }
                    pause = pause.max(answer.retry_after.unwrap_or_default()).min(PAUSE.1);
                    last = reason;
                }
                Err(error) => last = error.to_string(),
            }
        }
        if deadline.saturating_duration_since(Instant::now()) <= pause {
            let again = key.map(|key| format!("; it may have been published: --idempotency-key {key} goes on with it"));
            let again = again.unwrap_or_default();
            return Err(Failure::other(format!("not published within {} s: {last}{again}", within.as_secs())));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// What a problem says, with its field.
fn words(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(Problem { detail, field: Some(field) }) => format!("{status}: {detail} ({field})"),
        Ok(Problem { detail, field: None }) => format!("{status}: {detail}"),
        Err(_) => format!("{status}, which is no answer of a node's HTTP API"),
    }
}
