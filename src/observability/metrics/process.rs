//! The process, and how long operators' requests take.

use super::Families;
use crate::observability::operations::{Operation, Operations};
use crate::observability::process;

pub(super) fn of_process(families: &mut Families) {
    let process = process::read();
    families.gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes as f64);
    families.counter("process_cpu_seconds_total", "Processor time, user and system", process.cpu_seconds);
    families.gauge("process_open_fds", "Open files", process.open_fds as f64);
    families.gauge("process_max_fds", "Open files at most", process.max_fds as f64);
}

pub(super) fn of_operations(families: &mut Families, operations: &Operations) {
    let times: Vec<_> =
        Operation::ALL.iter().map(|operation| (operation.as_str(), operations.times(*operation))).collect();
    families.times("websocket_operation_seconds", "Operators' requests, until they were answered", "operation", &times);
}
