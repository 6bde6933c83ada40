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

printf '\n==> .ci/deny.sh\n'
.ci/deny.sh >"$VEDFOLNIR_CACHE/deny.log" 2>&1 || {
    cat "$VEDFOLNIR_CACHE/deny.log"
    exit 1
}
cat "$VEDFOLNIR_CACHE/deny.log"
if grep -q '^checked: ' "$VEDFOLNIR_CACHE/deny.log"; then passed="$passed deny"; else skipped="$skipped deny"; fi
if grep -q 'SKIPPED: advisories' "$VEDFOLNIR_CACHE/deny.log"; then skipped="$skipped advisories"; fi

# One build for the tests and for the program that the end-to-end tests drive: asked for by itself, the program has other
# features (those of no test's dependencies), and half of everything is compiled once more.
step cargo test --workspace --locked --tests --no-run
step cargo build --workspace --locked --examples
if command -v cargo-nextest >/dev/null 2>&1; then
    step cargo nextest run --workspace --locked --tests --no-tests pass
else
    step cargo test --workspace --locked --tests
fi
passed="$passed rust-tests"
step cargo test --workspace --locked --doc
passed="$passed doc-tests"

VEDFOLNIR_BIN="$CARGO_TARGET_DIR/debug/vedfolnir"
export VEDFOLNIR_BIN
# A program that knew the variable would refuse the name: planted bugs are in no build but the harness' own.
step env VEDFOLNIR_PLANTED_BUG=none "$VEDFOLNIR_BIN" --version
passed="$passed no-planted-bugs"
step tests/run.sh
passed="$passed end-to-end"

# A tenth of what `make fuzz` gives each decoder.
step env RUNS=100000 fuzz/run.sh
passed="$passed fuzz"

printf '\n==> passed:%s\n' "$passed"
if [ -n "$skipped" ]; then
    printf '!!! skipped:%s\n' "$skipped"
fi
