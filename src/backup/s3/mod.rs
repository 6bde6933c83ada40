//! Backups in a bucket of an S3-compatible object store: list, read, write, delete.
//!
//! Requests are signed and answers read by `rusty-s3`, which does no I/O; they travel over hyper and rustls like everything else that
//! this program asks of others. A large object goes up in parts, so that no more than one part is ever in memory, and exists only
//! once its last part is there: an upload that breaks off leaves no object behind.

mod download;
mod exchange;
mod own_runtime;
mod store;
mod upload;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::ClientConfig;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Credentials, S3Action, UrlStyle};

pub use download::Download;
use exchange::Exchange;
pub use exchange::S3Error;
use own_runtime::OwnRuntime;
pub(super) use store::Store;
pub use upload::Upload;

/// A request is signed for this long: longer than it may take.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// Objects that are looked through.
const OBJECTS_MAX: usize = 100_000;
/// Pages of a list that are asked for: a store that always says there is one more does not keep us for ever.
const PAGES_MAX: usize = 1_000;

/// Where the objects are, and who asks for them.
#[derive(Clone)]
pub struct S3Settings {
    /// `http://…` or `https://…`, without the bucket.
    pub endpoint: String,
    /// Its name.
    pub bucket: String,
    /// Before the name of each object, without slashes at its ends; empty: none.
    pub prefix: String,
    /// What the signature names.
    pub region: String,
    /// The id of the access key.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    /// Whether the bucket is the first part of the path (most stores of one's own) and not of the host's name (AWS).
    pub path_style: bool,
    /// Needed for `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long one request may take to be answered, and how long an answer may pause.
    pub timeout: Duration,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, bucket, prefix, region, path_style, timeout, .. } = self;
        f.debug_struct("S3Settings")
            .field("endpoint", endpoint)
            .field("bucket", bucket)
            .field("prefix", prefix)
            .field("region", region)
            .field("path_style", path_style)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// What a list says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key without the prefix.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A bucket, or the part of it below a prefix; cheap to clone. Everything it does blocks.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
    /// Made when something is first asked of the store.
    runtime: Arc<OnceLock<Result<OwnRuntime, String>>>,
}

struct Inner {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    prefix: String,
    exchange: Exchange,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.inner.bucket.name()).field(&self.inner.prefix).finish()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { bucket, prefix, .. } = &*self.inner;
        write!(f, "s3://{}", bucket.name())?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

impl Bucket {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`S3Error::Settings`].
    pub fn new(settings: S3Settings) -> Result<Self, S3Error> {
        let S3Settings { endpoint, bucket, prefix, region, access_key, secret_key, session_token, .. } = settings;
        let style = if settings.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let unfit =
            |what: &dyn fmt::Display| S3Error::Settings(format!("{endpoint} is no address of a store ({what})"));
        let url = endpoint.parse().map_err(|error| unfit(&error))?;
        let bucket = rusty_s3::Bucket::new(url, style, bucket, region).map_err(|error| unfit(&error))?;
        let credentials = match session_token {
            Some(token) => Credentials::new_with_token(access_key, secret_key, token),
            None => Credentials::new(access_key, secret_key),
        };
        let exchange = Exchange::new(settings.tls, settings.timeout);
        Ok(Self { inner: Arc::new(Inner { bucket, credentials, prefix, exchange }), runtime: Arc::default() })
    }

    /// Does something on the bucket's own runtime, and blocks until it is done.
    fn wait<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, S3Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, S3Error>> + Send + 'static,
    {
        let runtime = self.runtime.get_or_init(|| OwnRuntime::new().map_err(|error| error.to_string()));
        let runtime = runtime.as_ref().map_err(|error| S3Error::Settings(format!("no thread for it: {error}")))?;
        let ending = || S3Error::Settings("the process is ending".to_owned());
        runtime.wait(work(Arc::clone(&self.inner))).ok_or_else(ending)?
    }

    /// The objects below the prefix whose names have no further slash, by name.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn list(&self) -> Result<Vec<Object>, S3Error> {
        self.wait(|inner| async move { inner.list().await })
    }

    /// An object from its beginning.
    ///
    /// # Errors
    /// [`S3Error`]; [`S3Error::is_missing`] when there is none.
    pub fn open(&self, name: &str) -> Result<Download, S3Error> {
        let key = self.inner.key(name);
        self.wait(|inner| async move { inner.open(&key).await })
    }

    /// Writes a small object as a whole.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn put(&self, name: &str, body: Bytes) -> Result<(), S3Error> {
        let key = self.inner.key(name);
        self.wait(|inner| async move { inner.put(&key, body).await })
    }

    /// Begins an object of unknown length.
    #[must_use]
    pub fn upload(&self, name: &str) -> Upload {
        Upload::new(self.clone(), self.inner.key(name))
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn delete(&self, name: &str) -> Result<(), S3Error> {
        let key = self.inner.key(name);
        self.wait(|inner| async move { inner.delete(&key).await })
    }
}

impl Inner {
    async fn list(&self) -> Result<Vec<Object>, S3Error> {
        let below = self.key("");
        let mut objects = Vec::new();
        let mut from: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
            list.with_prefix(below.clone());
            list.with_delimiter("/");
            if let Some(token) = from.take() {
                list.with_continuation_token(token);
            }
            let answer = self.exchange.small("list", Method::GET, &list.sign(SIGNED_FOR), Bytes::new()).await?;
            let text = std::str::from_utf8(&answer.body).map_err(|error| S3Error::unreadable("list", error))?;
            let page = ListObjectsV2::parse_response(text).map_err(|error| S3Error::unreadable("list", error))?;
            for object in page.contents {
                let Some(name) = object.key.strip_prefix(&below).filter(|name| !name.is_empty()) else { continue };
                objects.push(Object { name: name.to_owned(), bytes: object.size.unwrap_or(0) });
            }
            if objects.len() > OBJECTS_MAX {
                return Err(S3Error::TooMany { objects_max: OBJECTS_MAX });
            }
            from = page.next_continuation_token;
            if from.is_none() {
                objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                return Ok(objects);
            }
        }
        Err(S3Error::TooMany { objects_max: OBJECTS_MAX })
    }

    async fn open(&self, key: &str) -> Result<Download, S3Error> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        let response = self.exchange.begin("read", Method::GET, &url, Bytes::new()).await?;
        Ok(Download::begin(response.into_body(), self.exchange.timeout()))
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), S3Error> {
        let url = self.bucket.put_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        self.exchange.small("write", Method::PUT, &url, body).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), S3Error> {
        let url = self.bucket.delete_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        match self.exchange.small("delete", Method::DELETE, &url, Bytes::new()).await {
            Err(error) if error.is_missing() => Ok(()),
            answered => answered.map(drop),
        }
    }

    fn key(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}
