//! An object on its way to the store, written by a thread that may block: in parts, one in memory at a time.

use std::io::{self, Write};

use bytes::Bytes;
use http::Method;
use rusty_s3::S3Action as _;
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use tokio::runtime::Handle;

use super::exchange::S3Error;
use super::{Bucket, SIGNED_FOR};

/// Bytes of a part: at least 5 MiB is asked for by S3 but for the last one. Ten thousand of them make 78 GiB.
const PART_BYTES: usize = 8 << 20;
/// What S3 allows.
const PARTS_MAX: u16 = 10_000;

/// See the module. It is made on a runtime and written off its threads. Without [`Self::finish`] there is no object, and what was
/// uploaded of it is given up.
pub struct Upload {
    bucket: Bucket,
    key: String,
    part: Vec<u8>,
    /// Once there was more than one part.
    multipart: Option<Multipart>,
    runtime: Handle,
}

struct Multipart {
    id: String,
    etags: Vec<String>,
}

impl Upload {
    pub(super) fn new(bucket: Bucket, key: String) -> Self {
        Self { bucket, key, part: Vec::new(), multipart: None, runtime: Handle::current() }
    }

    /// Sends what is left; the object exists when this returns.
    ///
    /// # Errors
    /// [`S3Error`]; there is no object then.
    pub fn finish(mut self) -> Result<(), S3Error> {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            if self.multipart.is_none() {
                return self.put().await;
            }
            if !self.part.is_empty() {
                self.send_part().await?;
            }
            self.complete().await
        })
    }

    async fn put(&mut self) -> Result<(), S3Error> {
        let inner = &self.bucket.inner;
        let url = inner.bucket.put_object(Some(&inner.credentials), &self.key).sign(SIGNED_FOR);
        let body = Bytes::from(std::mem::take(&mut self.part));
        inner.exchange.small("write", Method::PUT, &url, body).await.map(drop)
    }

    async fn send_part(&mut self) -> Result<(), S3Error> {
        let inner = &self.bucket.inner;
        if self.multipart.is_none() {
            let url = inner.bucket.create_multipart_upload(Some(&inner.credentials), &self.key).sign(SIGNED_FOR);
            let answer = inner.exchange.small("begin an upload", Method::POST, &url, Bytes::new()).await?;
            let unreadable = |error: &dyn ToString| S3Error::unreadable("begin an upload", error.to_string());
            let text = std::str::from_utf8(&answer.body).map_err(|error| unreadable(&error))?;
            let begun = CreateMultipartUpload::parse_response(text).map_err(|error| unreadable(&error))?;
            self.multipart = Some(Multipart { id: begun.upload_id().to_owned(), etags: Vec::new() });
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        let number = u16::try_from(multipart.etags.len() + 1).unwrap_or(u16::MAX);
        if number > PARTS_MAX {
            return Err(S3Error::TooLarge { bytes_max: u64::from(PARTS_MAX) * PART_BYTES as u64 });
        }
        let credentials = Some(&inner.credentials);
        let url = inner.bucket.upload_part(credentials, &self.key, number, &multipart.id).sign(SIGNED_FOR);
        let body = Bytes::from(std::mem::take(&mut self.part));
        let answer = inner.exchange.small("take a part", Method::PUT, &url, body).await?;
        let etag = answer.etag.ok_or_else(|| S3Error::unreadable("take a part", "it has no ETag"))?;
        multipart.etags.push(etag);
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), S3Error> {
        let Some(Multipart { id, etags }) = &self.multipart else { return Ok(()) };
        let inner = &self.bucket.inner;
        let tags = etags.iter().map(String::as_str);
        let action = inner.bucket.complete_multipart_upload(Some(&inner.credentials), &self.key, id, tags);
        let url = action.sign(SIGNED_FOR);
        let body = Bytes::from(action.body());
        let answer = inner.exchange.small("end an upload", Method::POST, &url, body).await?;
        // S3 answers 200 before it knows, and says what went wrong in the body.
        let text = String::from_utf8_lossy(&answer.body);
        CompleteMultipartUploadResponse::parse(&text).map_err(|_| answer.refused("end an upload"))?;
        self.multipart = None;
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART_BYTES - self.part.len();
        let count = bytes.len().min(room);
        self.part.extend_from_slice(&bytes[..count]);
        if self.part.len() == PART_BYTES {
            let runtime = self.runtime.clone();
            runtime.block_on(self.send_part()).map_err(io::Error::other)?;
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
        let (bucket, key) = (self.bucket.clone(), std::mem::take(&mut self.key));
        self.runtime.spawn(async move {
            let inner = &bucket.inner;
            let url = inner.bucket.abort_multipart_upload(Some(&inner.credentials), &key, &id).sign(SIGNED_FOR);
            if let Err(error) = inner.exchange.small("give an upload up", Method::DELETE, &url, Bytes::new()).await {
                tracing::warn!(%error, "an unfinished upload is still in the store");
            }
        });
    }
}
