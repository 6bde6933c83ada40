//! The process, and how long operators' requests take.

use super::{Families, get};
use crate::observability::operations::Operations;
use crate::observability::process;

pub(super) fn of_process(families: &mut Families) {
    let process = process::read();
    families.gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes as f64);
    families.counter("process_cpu_seconds_total", "Processor time, user and system", process.cpu_seconds);
    families.gauge("process_open_fds", "Open files", process.open_fds as f64);
    families.gauge("process_max_fds", "Open files at most", process.max_fds as f64);
}

pub(super) fn of_operations(families: &mut Families, operations: &Operations) {
    let all = operations.all();
    let times: Vec<_> = all.iter().map(|(kind, timed)| (&**kind, &timed.times)).collect();
    families.times(
        "websocket_operation_seconds",
        "Operators' requests, until they were answered, and operations of an embedding application",
        "operation",
        &times,
    );
    let failed: Vec<_> = all.iter().map(|(kind, timed)| ("operation", &**kind, get(&timed.failed_total))).collect();
    families.counters("websocket_operation_failures_total", "Those of them that failed", &failed);
}
