# Sourced by the Makefile's recipes: compiled dependencies live outside the clone, so that a fresh one builds in seconds.
# A CARGO_TARGET_DIR or RocksDB of your own is kept.
VEDFOLNIR_CACHE="${VEDFOLNIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir}"
export VEDFOLNIR_CACHE
mkdir -p "$VEDFOLNIR_CACHE"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$VEDFOLNIR_CACHE/target}"
if [ -z "${ROCKSDB_LIB_DIR:-}" ]; then
    rocksdb_environment=$(.ci/rocksdb.sh) || exit 1
    eval "$rocksdb_environment"
fi
