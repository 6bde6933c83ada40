//! The connect hook: the backend says who a client is, which rooms it enters and what is kept with its session, or why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vedfolnir_cluster::state::limits;

use super::ConnectFailure;
use super::hook::{Failure, Hook};
use crate::api::{Problem, check_length, check_names};
use crate::app::{ConnectAccept, ConnectRefusal, Handshake};

/// Bytes of the data that a session is committed with: what the node adds has room beside it.
const DATA_BYTES_MAX: usize = limits::DATA_BYTES_MAX / 2;

/// What the backend is asked.
#[derive(Serialize)]
struct Question<'a> {
    version: u8,
    r#type: &'static str,
    id: &'a str,
    namespace: &'a str,
    /// As the client gave it, but for what its session is resumed with: that is a secret between it and the cluster.
    auth: Option<BTreeMap<String, Box<RawValue>>>,
    headers: BTreeMap<&'a str, &'a str>,
    query: &'a str,
    address: String,
    /// Who its token says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    resuming: bool,
}

/// What the backend refuses a client with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    message: String,
    data: Option<Box<RawValue>>,
}

type Decision = Result<ConnectAccept, ConnectRefusal>;

/// See the module.
pub(super) struct ConnectHook {
    hook: Hook,
    failure: ConnectFailure,
}

impl ConnectHook {
    pub(super) const fn new(hook: Hook, failure: ConnectFailure) -> Self {
        Self { hook, failure }
    }

    /// Whether a client may connect, and as whom.
    pub(super) async fn decide(&self, handshake: Handshake) -> Decision {
        match self.hook.counted(self.ask(&handshake)).await {
            Ok(decision) => decision,
            Err(failure) => match self.failure {
                ConnectFailure::Allow => Ok(ConnectAccept::default()),
                ConnectFailure::Refuse => Err(ConnectRefusal::with_code(failure.told(), failure.code())),
                ConnectFailure::Retry => Err(ConnectRefusal::not_now(failure.told())),
            },
        }
    }

    async fn ask(&self, handshake: &Handshake) -> Result<Decision, Failure> {
        let id = self.hook.id();
        let mut auth: Option<BTreeMap<String, Box<RawValue>>> =
            handshake.auth().ok().filter(|_| handshake.auth.is_some());
        let resuming = auth.as_mut().is_some_and(|auth| {
            auth.remove("offset");
            auth.remove("pid").is_some()
        });
        let request = &handshake.request;
        let question = Question {
            version: 1,
            r#type: "connect",
            id: &id,
            namespace: &handshake.namespace,
            auth,
            headers: request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect(),
            query: &request.query,
            address: request.remote.ip().to_canonical().to_string(),
            user: handshake.identity.as_ref().and_then(|identity| identity.user()).map(AsRef::as_ref),
            resuming,
        };
        // Texts, and JSON that was read as such: nothing that JSON does not take.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let mut fields = self.hook.ask(&id, body).await?;
        if let Some(Refuse { message, data }) = fields.optional("refuse")? {
            fields.end()?;
            return Ok(Err(ConnectRefusal { data, ..ConnectRefusal::new(message) }));
        }
        let user = fields.optional::<Arc<str>>("user")?;
        let rooms = fields.optional::<Vec<Arc<str>>>("rooms")?.unwrap_or_default();
        let data = fields.optional::<Box<RawValue>>("data")?;
        fields.end()?;
        if let Some(user) = &user {
            check_length("user", user)?;
        }
        if !rooms.is_empty() {
            check_names("rooms", &rooms, limits::ROOMS_PER_RECORD_MAX)?;
        }
        if let Some(data) = data.as_ref().filter(|data| data.get().len() > DATA_BYTES_MAX) {
            let detail = format!("{} bytes; accepted: at most {DATA_BYTES_MAX}", data.get().len());
            return Err(Problem::invalid("data", detail).into());
        }
        let data = data.map(|data| Box::<str>::from(data).into_boxed_bytes().into()).unwrap_or_default();
        Ok(Ok(ConnectAccept { user, data, rooms }))
    }
}
