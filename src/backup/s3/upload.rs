//! An object on its way to the store: in parts, one in memory at a time.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use rusty_s3::S3Action as _;
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};

use super::exchange::S3Error;
use super::{Bucket, Inner, SIGNED_FOR};

/// Bytes of a part: at least 5 MiB is asked for by S3 but for the last one. Ten thousand of them make 78 GiB.
const PART_BYTES: usize = 8 << 20;
/// What S3 allows.
const PARTS_MAX: usize = 10_000;

/// See the module. Without [`Self::finish`] there is no object, and what was uploaded of it is given up.
pub struct Upload {
    bucket: Bucket,
    key: Arc<str>,
    part: Vec<u8>,
    /// Once there was more than one part.
    multipart: Option<Multipart>,
}

struct Multipart {
    id: String,
    etags: Vec<String>,
}

impl Upload {
    pub(super) fn new(bucket: Bucket, key: String) -> Self {
        Self { bucket, key: key.into(), part: Vec::new(), multipart: None }
    }

    /// Sends what is left; the object exists when this returns.
    ///
    /// # Errors
    /// [`S3Error`]; there is no object then.
    pub fn finish(mut self) -> Result<(), S3Error> {
        let key = Arc::clone(&self.key);
        if self.multipart.is_none() {
            let body = Bytes::from(std::mem::take(&mut self.part));
            return self.bucket.wait(|inner| async move { inner.put(&key, body).await });
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let Some(Multipart { id, etags }) = &self.multipart else { return Ok(()) };
        let (id, etags) = (id.clone(), etags.clone());
        self.bucket.wait(|inner| async move { complete(&inner, &key, &id, &etags).await })?;
        self.multipart = None;
        Ok(())
    }

    fn send_part(&mut self) -> Result<(), S3Error> {
        let key = Arc::clone(&self.key);
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            begun => {
                let key = Arc::clone(&key);
                let id = self.bucket.wait(|inner| async move { begin(&inner, &key).await })?;
                begun.insert(Multipart { id, etags: Vec::new() })
            }
        };
        let number = u16::try_from(multipart.etags.len() + 1).ok().filter(|number| usize::from(*number) <= PARTS_MAX);
        let Some(number) = number else {
            return Err(S3Error::TooLarge { bytes_max: PARTS_MAX as u64 * PART_BYTES as u64 });
        };
        let (id, body) = (multipart.id.clone(), Bytes::from(std::mem::take(&mut self.part)));
        let etag = self.bucket.wait(|inner| async move { send(&inner, &key, &id, number, body).await })?;
        multipart.etags.push(etag);
        Ok(())
    }
}

async fn begin(inner: &Inner, key: &str) -> Result<String, S3Error> {
    let url = inner.bucket.create_multipart_upload(Some(&inner.credentials), key).sign(SIGNED_FOR);
    let answer = inner.exchange.small("begin an upload", Method::POST, &url, Bytes::new()).await?;
    let unreadable = |error: &dyn ToString| S3Error::unreadable("begin an upload", error.to_string());
    let text = std::str::from_utf8(&answer.body).map_err(|error| unreadable(&error))?;
    let begun = CreateMultipartUpload::parse_response(text).map_err(|error| unreadable(&error))?;
    Ok(begun.upload_id().to_owned())
}

/// Returns the part's ETag.
async fn send(inner: &Inner, key: &str, id: &str, number: u16, body: Bytes) -> Result<String, S3Error> {
    let url = inner.bucket.upload_part(Some(&inner.credentials), key, number, id).sign(SIGNED_FOR);
    let answer = inner.exchange.small("take a part", Method::PUT, &url, body).await?;
    answer.etag.ok_or_else(|| S3Error::unreadable("take a part", "it has no ETag"))
}

async fn complete(inner: &Inner, key: &str, id: &str, etags: &[String]) -> Result<(), S3Error> {
    let tags = etags.iter().map(String::as_str);
    let action = inner.bucket.complete_multipart_upload(Some(&inner.credentials), key, id, tags);
    let url = action.sign(SIGNED_FOR);
    let body = Bytes::from(action.body());
    // Asked twice, a store that had done it the first time would know no such upload.
    let answer = inner.exchange.once("end an upload", Method::POST, &url, body).await?;
    // S3 answers 200 before it knows, and says what went wrong in the body.
    let text = String::from_utf8_lossy(&answer.body);
    CompleteMultipartUploadResponse::parse(&text).map(drop).map_err(|_| answer.refused("end an upload"))
}

async fn give_up(inner: &Inner, key: &str, id: &str) -> Result<(), S3Error> {
    let url = inner.bucket.abort_multipart_upload(Some(&inner.credentials), key, id).sign(SIGNED_FOR);
    inner.exchange.small("give an upload up", Method::DELETE, &url, Bytes::new()).await.map(drop)
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        if self.part.len() == PART_BYTES {
            self.send_part().map_err(io::Error::other)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(Multipart { id, .. }) = self.multipart.take() else { return };
        let key = Arc::clone(&self.key);
        if let Err(error) = self.bucket.wait(|inner| async move { give_up(&inner, &key, &id).await }) {
            tracing::warn!(%error, "an unfinished upload is still in the store");
        }
    }
}
