//! A location in an object store: what its settings come to.

use std::path::Path;

use crate::backup::s3::{Bucket, S3Settings};
use crate::config::problem::Severity;
use crate::config::schema::backup as schema;
use crate::config::values::Values;
use crate::observability::logging::client_tls;

/// S3 names buckets so.
const BUCKET_ACCEPTED: &str = "s3://BUCKET/PREFIX, where BUCKET has 3 to 63 of a-z, 0-9, '.' and '-'";
const PREFIX_BYTES_MAX: usize = 512;

/// `location`: what stands behind `s3://`.
pub(super) fn bucket(values: &Values<'_>, location: &str) -> Option<Bucket> {
    let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
    let prefix = prefix.trim_matches('/');
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
    // Parts of a path that lead elsewhere would be resolved by whoever builds the address.
    let is_prefix = prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.chars().any(char::is_control)
        && (prefix.is_empty() || !prefix.split('/').any(|part| matches!(part, "" | "." | "..")));
    if !is_bucket || !is_prefix {
        let reason = if is_bucket { "its prefix cannot be one" } else { "it names no bucket" };
        values.refuse(&schema::BACKUP_LOCATION, reason, BUCKET_ACCEPTED);
        return None;
    }
    let region = values.get(&schema::BACKUP_S3_REGION);
    let given = values.given(&schema::BACKUP_S3_ENDPOINT);
    let path_style = values.given(&schema::BACKUP_S3_PATH_STYLE).unwrap_or(given.is_some());
    let endpoint = given.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let is_secure = endpoint.to_ascii_lowercase().starts_with("https://");
    if !is_secure {
        let reason = "backups travel to the store without TLS: whoever is in between can read and change them";
        values.say(Severity::Warning, &schema::BACKUP_S3_ENDPOINT, reason, "https://HOST[:PORT]");
    }
    let mut missing = false;
    let mut wanted = |setting, accepted: &str| {
        let given = values.given(setting);
        if given.is_none() {
            missing = true;
            values.refuse(setting, "a location in an object store needs it", accepted);
        }
        given.unwrap_or_default()
    };
    let access_key =
        wanted(&schema::BACKUP_S3_ACCESS_KEY, "the id of an access key that may list, read, write and delete");
    let secret_key = wanted(&schema::BACKUP_S3_SECRET_KEY, "its secret");
    let tls = if is_secure { Some(tls(values, values.given(&schema::BACKUP_S3_CA_FILE).as_deref())?) } else { None };
    if missing {
        return None;
    }
    let settings = S3Settings {
        endpoint,
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region,
        access_key,
        secret_key,
        session_token: values.given(&schema::BACKUP_S3_SESSION_TOKEN),
        path_style,
        tls,
        timeout: values.get(&schema::BACKUP_S3_TIMEOUT),
    };
    let made = Bucket::new(settings);
    made.map_err(|error| values.refuse(&schema::BACKUP_S3_ENDPOINT, error.to_string(), "https://HOST[:PORT]")).ok()
}

fn tls(values: &Values<'_>, file: Option<&Path>) -> Option<std::sync::Arc<rustls::ClientConfig>> {
    let authority = file.map(std::fs::read).transpose().map_err(|error| format!("cannot be read ({error})"));
    let made = authority.and_then(|pem| client_tls(pem.as_deref()).map_err(|error| error.to_string()));
    made.map_err(|reason| {
        values.refuse(&schema::BACKUP_S3_CA_FILE, reason, "a PEM file with certificates of authorities")
    })
    .ok()
}
