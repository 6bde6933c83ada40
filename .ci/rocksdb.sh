#!/bin/sh
# Builds the static RocksDB archive once per version and compiler, outside the clone; seconds when it is there already.
#
# Prints the environment that makes cargo link it: eval "$(.ci/rocksdb.sh)". A build without that environment works
# too and takes about twelve minutes longer, once per profile.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache="${VEDFOLNIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir}"

locked() { # PACKAGE -> its version in Cargo.lock
    awk -v name="$1" '$0 == "name = \"" name "\"" { getline; gsub(/version = |"/, ""); print; exit }' "$root/Cargo.lock"
}

version=$(locked librocksdb-sys)
crate=$(locked rocksdb)
if [ -z "$version" ] || [ -z "$crate" ]; then
    echo "rocksdb.sh: Cargo.lock names no rocksdb" >&2
    exit 1
fi
# The compiler as it describes itself: another one, another archive.
compiler=$( (c++ --version 2>/dev/null || echo none) | head -n 1)
hash=$(printf '%s %s' "$compiler" "$(uname -m)" | sha256sum | cut -c1-12)
directory="$cache/rocksdb/$version-$hash"

if [ ! -f "$directory/librocksdb.a" ]; then
    echo "rocksdb.sh: building RocksDB $version once into $directory (about twelve minutes on two cores)" >&2
    mkdir -p "$cache/rocksdb"
    seed=$(mktemp -d "$cache/rocksdb/seed.XXXXXX")
    trap 'rm -rf "$seed"' EXIT
    # The crate with the version and features of this workspace and nothing else, at the optimisation of a release.
    features=$(sed -n 's/^rocksdb = {.*features = \(\[[^]]*\]\).*/\1/p' "$root/Cargo.toml")
    mkdir "$seed/src"
    echo '//! Builds one dependency.' > "$seed/src/lib.rs"
    cat > "$seed/Cargo.toml" <<TOML
[package]
name = "rocksdb-seed"
version = "0.0.0"
edition = "2024"
[dependencies]
rocksdb = { version = "=$crate", default-features = false, features = $features }
librocksdb-sys = { version = "=${version%%+*}", default-features = false }
[workspace]
TOML
    (
        cd "$seed"
        unset ROCKSDB_STATIC ROCKSDB_LIB_DIR ROCKSDB_COMPILE
        CARGO_TARGET_DIR="$seed/target" cargo build --release --quiet
    ) >&2
    archive=$(find "$seed/target" -name librocksdb.a | head -n 1)
    if [ -z "$archive" ]; then
        echo "rocksdb.sh: the build left no librocksdb.a" >&2
        exit 1
    fi
    mkdir -p "$directory"
    # Whole or not at all: a build beside this one may look.
    cp "$archive" "$directory/librocksdb.a.$$"
    mv "$directory/librocksdb.a.$$" "$directory/librocksdb.a"
fi

printf 'export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR="%s"\n' "$directory"
