//! Work that can wait: each piece on a thread of its own that gives way to everything else.
//!
//! A snapshot of a large state keeps a core busy for seconds. The threads that carry commits come first, on Linux by the
//! scheduler's nice value, which belongs to a thread there. It cannot be raised again, so no such thread is reused, and the
//! runtime's pool of blocking threads is of no use for this.

use std::io;

use tokio::sync::oneshot;

/// So much nicer than its process: a tenth of the share of a usual thread of it, when both want the same core. Not less: on
/// a machine that is busy for good, snapshots that never end would let the log grow.
#[cfg(all(target_os = "linux", not(feature = "simulation")))]
const NICER: i32 = 10;
/// As nice as can be.
#[cfg(all(target_os = "linux", not(feature = "simulation")))]
const NICE_MAX: i32 = 19;

/// Runs something and waits for its result.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, io::Error> {
    let (sender, receiver) = oneshot::channel();
    spawn(name, move || {
        // Whoever asked may have gone away.
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(|_| io::Error::other(format!("the thread {name} panicked")))
}

/// Gives memory back that takes long to be given back, such as a large state of which nobody holds a copy any more.
pub(crate) fn drop_later<T: Send + 'static>(what: T) {
    // Without a thread it is dropped here, which is slow but right.
    if let Err(error) = spawn("drop", move || drop(what)) {
        tracing::warn!(%error, "no thread for giving memory back; it was done in place");
    }
}

#[cfg(not(feature = "simulation"))]
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), io::Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        give_way();
        work();
    })?;
    Ok(())
}

/// The simulator has one thread for everything.
#[cfg(feature = "simulation")]
fn spawn(_name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), io::Error> {
    drop(tokio::task::spawn_blocking(work));
    Ok(())
}

#[cfg(all(target_os = "linux", not(feature = "simulation")))]
fn give_way() {
    // Linux takes no process for the calling thread, which begins with the priority of the one that started it.
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, (nice + NICER).min(NICE_MAX)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}

#[cfg(all(not(target_os = "linux"), not(feature = "simulation")))]
fn give_way() {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_work_gives_way_and_its_caller_does_not() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(super::run("test", nice).await.unwrap(), (before + super::NICER).min(super::NICE_MAX));
        assert_eq!(nice(), before);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        // Without a word on standard error.
        let panicked = super::run::<()>("test", || std::panic::resume_unwind(Box::new("on purpose"))).await;
        assert!(panicked.unwrap_err().to_string().contains("panicked"));
    }
}
