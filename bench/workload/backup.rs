//! A backup of a large state, as a node writes it, reads it back and restores it; and what applying an entry costs while it is
//! being written.

use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use vedfolnir_cluster::backup::{
    About, BackupError, BackupId, BackupKey, Origin, Packing, STATE_BYTES_MAX, in_background, load, verify, write_state,
};
use vedfolnir_state::{Restoration, SidKey};

use super::state::{Machine, commands_us, publish, room_of};
use crate::args::StateArgs;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::resident_bytes;

/// From one publish to the next while nothing else and while a backup is written.
const PUBLISH_EVERY: Duration = Duration::from_micros(500);
/// How long is published without one.
const QUIET: Duration = Duration::from_secs(3);

impl Machine {
    pub(super) fn measure_backup(&mut self, arguments: &StateArgs, report: &mut Report) -> Result<(), BenchError> {
        let failed = |error: BackupError| BenchError::Other(error.to_string());
        let path = std::env::temp_dir().join(format!("vedfolnir-bench-{}.vfb", std::process::id()));
        let key = BackupKey::new("a key for measuring with, long enough")
            .map_err(|error| BenchError::Other(error.to_string()))?;
        let packing = Packing { compression_level: Some(6), key: Some(key.clone()) };

        let began = Instant::now();
        let quiet = self.publishes(arguments, || began.elapsed() > QUIET)?;
        let before = resident_bytes(std::process::id())?;
        let began = Instant::now();
        let (state, to) = (self.state.clone(), path.clone());
        // A runtime of its own waits for the thread of low priority that a node would use.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let written = std::thread::spawn(move || {
            runtime.block_on(in_background(move || {
                let about = About::of(&state, BackupId::at(0), String::new(), Origin::default());
                let (file, report) = write_state(&state, about, &packing, File::create(to)?)?;
                file.sync_all()?;
                Ok::<_, BackupError>(report.written)
            }))
        });
        let busy = self.publishes(arguments, || written.is_finished())?;
        let took = began.elapsed();
        let during = resident_bytes(std::process::id())?.saturating_sub(before);
        let written =
            written.join().map_err(|_| BenchError::Other("the writer panicked".to_owned()))??.map_err(failed)?;
        report.figure("backup written", took.as_secs_f64(), "s");
        report.figure("backup", written.bytes as f64 / f64::from(1 << 20), "MiB");
        report.figure("more memory meanwhile", during as f64 / f64::from(1 << 20), "MiB resident");
        for (name, histogram) in [("before it", &quiet), ("while it is written", &busy)] {
            report.figure(&format!("publish {name} p50"), commands_us(histogram, 0.5), "µs");
            report.figure(&format!("publish {name} p99"), commands_us(histogram, 0.99), "µs");
            report.figure(&format!("publish {name} max"), commands_us(histogram, 1.0), "µs");
        }

        let open = || File::open(&path).map(|file| BufReader::with_capacity(256 << 10, file));
        let began = Instant::now();
        verify(open()?, Some(&key), STATE_BYTES_MAX).map_err(failed)?;
        report.figure("backup verified", began.elapsed().as_secs_f64(), "s");
        let before = resident_bytes(std::process::id())?;
        let began = Instant::now();
        let loaded = load(open()?, Some(&key)).map_err(failed)?;
        report.figure("backup loaded", began.elapsed().as_secs_f64(), "s");
        let sessions = loaded.state.counts().sessions;
        let began = Instant::now();
        let restored = loaded.state.restored(&Restoration { history_id: 2, sid_key: SidKey::default() });
        report.figure("made a new cluster's", began.elapsed().as_secs_f64(), "s");
        let resident = resident_bytes(std::process::id())?.saturating_sub(before);
        report.figure("restored", resident as f64 / f64::from(1 << 20), "MiB resident");
        if restored.counts().sessions != sessions || sessions != arguments.sessions as u64 {
            report.broken.push(format!("{sessions} sessions were restored"));
        }
        std::fs::remove_file(path)?;
        Ok(())
    }

    /// Applies publishes at a pace until it is `over`.
    fn publishes(&mut self, arguments: &StateArgs, over: impl Fn() -> bool) -> Result<Histogram, BenchError> {
        let mut publishes = Histogram::default();
        while !over() {
            let number = self.random.below(arguments.sessions);
            let (_, nanos) = self.entry(vec![publish(room_of(0, number), 64)])?;
            publishes.record(nanos);
            std::thread::sleep(PUBLISH_EVERY);
        }
        Ok(publishes)
    }
}
