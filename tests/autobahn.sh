#!/usr/bin/env bash
# Autobahn's cases against the WebSockets of a real node: its handshake, its reading and writing of frames, its close codes.
#
#   tests/autobahn.sh                      all cases but those of compression, which is not negotiated (`make autobahn`)
#   tests/autobahn.sh --cases 1.*,7.*      these
#   VEDFOLNIR_BIN=PATH tests/autobahn.sh   this binary, built with the feature `echo`; otherwise cargo builds one
#   PYTHON2=PATH                           a Python 2.7; otherwise one is looked for
#
# The suite judges a server that says what it hears. The node speaks Engine.IO; a build of its own (feature `echo`) lets a
# query ask for the transport `echo`, which passes the same gate and uses the same code as every WebSocket up to its messages.
# Exit 0: no case FAILED; 1: one did; 77: skipped, because there is no Python 2.7, the only one the suite runs on.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tests")
cache=${VEDFOLNIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir}
VERSION=25.10.1
cases='"*"'
if [ "${1:-}" = --cases ]; then
    cases=$(printf '%s' "${2:?which cases}" | sed 's/[^,]*/"&"/g')
fi
say() { printf '==> %s\n' "$*" >&2; }

python2() {
    local candidate
    for candidate in "${PYTHON2:-}" python2.7 "$HOME"/.pyenv/versions/2.7.*/bin/python2.7 /usr/bin/python2.7; do
        [ -n "$candidate" ] || continue
        # A shim of pyenv's is there and works not.
        if "$candidate" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}
if ! python=$(python2); then
    say "!!! SKIPPED: Autobahn's cases: there is no Python 2.7 with pip here (PYTHON2=PATH names one)"
    exit 77
fi

suite=$cache/autobahntestsuite-$VERSION
if [ ! -e "$suite" ]; then
    say "pip install autobahntestsuite $VERSION → $suite"
    rm -rf "$suite" "$suite.part"
    mkdir -p "$cache"
    if ! "$python" -m pip install --quiet --disable-pip-version-check --target "$suite.part" \
        "autobahntestsuite==$VERSION" >"$cache/autobahn-pip.log" 2>&1; then
        cat "$cache/autobahn-pip.log" >&2
        say "!!! SKIPPED: Autobahn's cases: its test suite could not be installed (it compiles C: gcc, libffi, libssl)"
        exit 77
    fi
    mv "$suite.part" "$suite"
fi

if [ -z "${VEDFOLNIR_BIN:-}" ]; then
    # shellcheck source=/dev/null
    (cd "$root" && . .ci/env.sh && cargo build --locked -p vedfolnir --features echo --bin vedfolnir >&2)
    built=$(cd "$root" && . .ci/env.sh >/dev/null && echo "$CARGO_TARGET_DIR/debug/vedfolnir")
fi

work=$(mktemp -d)
node=""
trap '[ -z "$node" ] || { kill "$node" 2>/dev/null && wait "$node" 2>/dev/null; } || true; rm -rf "$work"' EXIT
# The next build without the feature takes the place of this one.
binary=${VEDFOLNIR_BIN:-$work/vedfolnir}
[ -z "${built:-}" ] || cp "$built" "$binary"

# 16 MiB are the largest message of the cases; they pause for longer than a client of ours may.
env -i PATH="$PATH" HOME="$work" WEBSOCKET_PORT=0 WEBSOCKET_ADMIN_BIND=127.0.0.1:0 WEBSOCKET_CLUSTER_ADDR=127.0.0.1:0 \
    WEBSOCKET_DATA_DIR="$work/data" WEBSOCKET_MAX_PAYLOAD=16777216 \
    "$binary" start >"$work/node.log" 2>&1 &
node=$!
port=""
for _ in $(seq 300); do
    port=$(sed -n 's|^ *Socket.IO  *http://.*:\([0-9][0-9]*\)$|\1|p' "$work/node.log")
    [ -z "$port" ] || break
    kill -0 "$node" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$port" ]; then
    cat "$work/node.log" >&2
    echo "autobahn: the node did not start" >&2
    exit 2
fi

cat >"$work/spec.json" <<JSON
{"outdir": "$work/report", "servers": [{"agent": "vedfolnir",
  "url": "ws://127.0.0.1:$port/socket.io/?EIO=4&transport=echo"}],
 "cases": [$cases], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {}}
JSON
say "Autobahn's cases against port $port"
# As a site, since its packages share the name `zope`.
run='import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()'
(cd "$work" && "$python" -c "$run" "$suite" -m fuzzingclient -s spec.json >"$work/wstest.log" 2>&1) || {
    tail -n 20 "$work/wstest.log" >&2
    echo "autobahn: the test suite failed" >&2
    exit 2
}
python3 "$tests/support/autobahn_report.py" "$work/report/index.json"
