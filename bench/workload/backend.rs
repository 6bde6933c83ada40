//! Events through the backend proxy: an empty backend, in a thread of this process, acknowledges each.

use std::convert::Infallible;
use std::net::TcpListener;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::round_trip::{self, Plan};
use crate::args::BackendArgs;
use crate::error::BenchError;
use crate::report::Report;
use crate::server::Options;

const SECRET: &str = "a secret of this run 0123456789";

pub(super) async fn run(arguments: BackendArgs) -> Result<Report, BenchError> {
    if arguments.target.bin.is_none() {
        return Err(BenchError::Other("the nodes have to ask this run's backend: --bin PATH starts some".to_owned()));
    }
    let options = Options {
        environment: vec![
            ("WEBSOCKET_BACKEND_EVENT_URL", start_backend()?),
            ("WEBSOCKET_BACKEND_ALLOW_PRIVATE", "true".to_owned()),
            ("WEBSOCKET_BACKEND_SECRET", SECRET.to_owned()),
        ],
        ..Options::default()
    };
    let what = format!(
        "events of {} bytes with ack through an empty backend, {}",
        arguments.payload,
        round_trip::load(arguments.inflight, arguments.rate)
    );
    let event = |_| ("e", format!(",\"{}\"", "x".repeat(arguments.payload)));
    let plan = Plan { what, clients: arguments.clients, inflight: arguments.inflight, rate: arguments.rate };
    round_trip::run(&arguments.target, &options, plan, arguments.span, event).await
}

/// Serves until the process ends; its address.
fn start_backend() -> Result<String, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}/event", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("backend".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(listener)) {
            eprintln!("vedfolnir-bench: the backend ended: {error}");
        }
    })?;
    Ok(url)
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(|request: hyper::Request<hyper::body::Incoming>| async {
            // A question that breaks off has nobody who waits for the answer.
            let _ = request.into_body().collect().await;
            let body = Full::new(Bytes::from_static(b"{\"ack\":[]}"));
            let mut response = Response::new(body);
            let json = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(async move {
            // It ends with the node that asks.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
