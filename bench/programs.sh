# Sourced by the measurements: builds release unless both programs are named, and begins the file of results. Sets `server`,
# `bench`, `results` and `broken`.
#
#   VEDFOLNIR_BIN, BENCH_BIN     programs that are already built; nothing is built then
#   RESULTS                      file of JSON lines that is written; `vedfolnir-bench table FILE…` reads it
target="${CARGO_TARGET_DIR:-target}"
if [ -z "${VEDFOLNIR_BIN:-}" ] || [ -z "${BENCH_BIN:-}" ]; then
    cargo build --release --locked --workspace --bins
fi
server="${VEDFOLNIR_BIN:-$target/release/vedfolnir}"
bench="${BENCH_BIN:-$target/release/vedfolnir-bench}"
results="${RESULTS:-$(mktemp)}"
: >"$results"
broken=0
