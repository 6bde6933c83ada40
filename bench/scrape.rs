//! A node's metrics page, read as any scraper reads it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::BenchError;

/// A node that does not answer for this long does not serve.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What one page says.
pub(crate) struct Page(String);

impl Page {
    /// Asks the node at this URL.
    pub(crate) async fn of(url: &str) -> Result<Self, BenchError> {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let asked = async {
            let mut stream = TcpStream::connect(authority).await?;
            let head = format!("GET /websocket/metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut page = Vec::new();
            stream.read_to_end(&mut page).await?;
            Ok::<_, std::io::Error>(page)
        };
        match timeout(TIMEOUT, asked).await {
            Ok(page) => Ok(Self(String::from_utf8_lossy(&page?).into_owned())),
            Err(_) => Err(BenchError::Timeout { what: format!("an answer of {url}"), seconds: TIMEOUT.as_secs() }),
        }
    }

    /// Its length, head included.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The value of a sample, named as it stands on the page, labels included.
    pub(crate) fn value(&self, name: &str) -> Result<f64, BenchError> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| BenchError::Other(format!("the metrics page has no sample {name}")))
    }

    /// A histogram's buckets: (upper bound, how many are at or below it), the last without a bound.
    pub(crate) fn buckets(&self, family: &str) -> Result<Vec<(f64, f64)>, BenchError> {
        let prefix = format!("{family}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.trim().parse().ok()?))
        };
        let buckets: Vec<(f64, f64)> = self.0.lines().filter_map(bucket).collect();
        match buckets.last() {
            Some((bound, _)) if bound.is_infinite() => Ok(buckets),
            _ => Err(BenchError::Other(format!("the metrics page has no histogram {family}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_their_whole_name() {
        let page = Page("# HELP a b\na_total 7\na{x=\"y\"} 2.5\na 3\n".to_owned());
        assert_eq!(page.value("a").unwrap(), 3.0);
        assert_eq!(page.value("a_total").unwrap(), 7.0);
        assert_eq!(page.value("a{x=\"y\"}").unwrap(), 2.5);
        assert!(page.value("b").is_err());
    }

    #[test]
    fn a_histogram_has_a_last_bucket_without_a_bound() {
        let page = Page("h_bucket{le=\"0.1\"} 3\nh_bucket{le=\"+Inf\"} 4\ng_bucket{le=\"1\"} 0\n".to_owned());
        assert_eq!(page.buckets("h").unwrap(), [(0.1, 3.0), (f64::INFINITY, 4.0)]);
        assert!(page.buckets("g").is_err());
    }
}
