#!/bin/sh
# Everything that must hold before a change goes in: `make test`.
set -eu
cd "$(dirname "$0")/.."
. .ci/env.sh

step() {
    printf '\n==> %s\n' "$*"
    "$@"
}
passed=""
skipped=""

step cargo fmt --all --check
passed="$passed format"

step cargo clippy --workspace --all-targets --locked -- -D warnings
passed="$passed clippy"

if command -v cargo-deny >/dev/null 2>&1; then
    step cargo deny --all-features check bans licenses sources
    passed="$passed deny"
    # The advisory database is fetched: where it cannot be, that is said, not hidden.
    if cargo deny fetch db >/dev/null 2>&1; then
        step cargo deny --all-features check advisories
        passed="$passed advisories"
    else
        printf '\n!!! SKIPPED: advisories (their database is not reachable from here)\n'
        skipped="$skipped advisories"
    fi
else
    printf '\n!!! SKIPPED: bans, licences, sources, advisories (cargo-deny is not installed: cargo install --locked cargo-deny)\n'
    skipped="$skipped deny"
fi

if command -v cargo-nextest >/dev/null 2>&1; then
    step cargo nextest run --workspace --locked --no-tests pass
else
    step cargo test --workspace --locked --lib --bins --tests
fi
passed="$passed rust-tests"
step cargo test --workspace --locked --doc
passed="$passed doc-tests"

step cargo build --locked --bin vedfolnir
VEDFOLNIR_BIN="$CARGO_TARGET_DIR/debug/vedfolnir"
export VEDFOLNIR_BIN
step tests/run.sh
passed="$passed end-to-end"

printf '\n==> passed:%s\n' "$passed"
if [ -n "$skipped" ]; then
    printf '!!! skipped:%s\n' "$skipped"
fi
