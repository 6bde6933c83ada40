#!/bin/sh
# Builds the program with the planted bugs (docs/planted-bugs.md) into a target directory of its own: make planted-build.
#
# The last line is the program's path. VEDFOLNIR_PLANTED_BUG=NAME puts a bug in when it runs.
set -eu
cd "$(dirname "$0")/.."
. .ci/env.sh
CARGO_TARGET_DIR="${PLANTED_TARGET_DIR:-$CARGO_TARGET_DIR/planted}"
export CARGO_TARGET_DIR
cargo build --locked --features planted-bugs --bin vedfolnir >&2
echo "$CARGO_TARGET_DIR/debug/vedfolnir"
