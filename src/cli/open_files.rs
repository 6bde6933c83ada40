//! As many open files as the system allows: one for each client.

/// The limit now: soft and hard; `None`: it could not be found out.
pub(crate) fn now() -> Option<(u64, u64)> {
    rlimit::getrlimit(rlimit::Resource::NOFILE).ok()
}

/// Raises the limit as far as it goes; `None`: it could not be found out.
pub(crate) fn raised() -> Option<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
        .ok()
}
