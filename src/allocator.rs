//! The allocator of the programs: of `vedfolnir`, and of the load generator, which runs nodes of its own.

/// For RocksDB too: it calls the `malloc` that jemalloc brings along. docs/decisions/0026 has the reasons.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's options (`man jemalloc`), which it reads under this name before anything runs: pages that are free for a second
/// go back to the system, by a thread that does only that, so that what a burst took does not count as the node's for ever.
/// The environment's `MALLOC_CONF` goes before it.
// Sound: jemalloc declares it `const char *`, a string that ends with a zero, and only reads it.
#[allow(unsafe_code)]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
