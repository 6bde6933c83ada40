//! Reads what a request says: a JSON object, bounded in size and time, field by field, so that each error names its field.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::problem::{Problem, Type};

/// Bytes of a request's body.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// A body that is not there by then does not come.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The body of a request that says it is JSON: a web page of another site cannot send that without asking first.
pub(super) async fn read_json(request: Request) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        let detail = "accepted: Content-Type: application/json";
        return Err(Problem::new(Type::NotJson, detail).about("Content-Type"));
    }
    read(request, BODY_BYTES_MAX).await
}

/// A body that is a value of at most so many bytes, as it is; and whether it says that it is JSON. A web page of another site
/// cannot send either without asking first.
pub(super) async fn read_value(request: Request, bytes_max: usize) -> Result<(Bytes, bool), Problem> {
    let is_json = match essence(request.headers()).to_ascii_lowercase().as_str() {
        "application/json" => true,
        "application/octet-stream" => false,
        _ => {
            let detail = "accepted: Content-Type: application/octet-stream, or application/json";
            return Err(Problem::new(Type::NotJson, detail).about("Content-Type"));
        }
    };
    Ok((read(request, bytes_max).await?, is_json))
}

/// A body of at most so many bytes.
async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), bytes_max).collect();
    match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Type::TooLarge, format!("the body is larger than {bytes_max} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(Type::Malformed, format!("the body cannot be read: {error}"))),
        Err(_) => {
            let detail = format!("the body was not there within {} s", BODY_WITHIN.as_secs());
            Err(Problem::new(Type::Timeout, detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).eq_ignore_ascii_case("application/json")
}

/// The type that a body says it is of, without parameters.
fn essence(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The fields of an object that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Of a JSON text.
    pub(crate) fn of(text: &[u8]) -> Result<Self, Problem> {
        let fields = serde_json::from_slice(text);
        fields.map(Self).map_err(|error| Problem::new(Type::Malformed, format!("not a JSON object: {error}")))
    }

    /// Of an object without any.
    pub(crate) const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The field, if it is there and not null.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map_err(|error| Problem::invalid(name, format!("{name:?}: {error}")))
    }

    /// The field, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::invalid(name, format!("{name:?} is missing")))
    }

    /// Nothing is left that nobody knows.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                Err(Problem::invalid(shown.clone(), format!("there is no field {shown:?} here")))
            }
        }
    }
}
