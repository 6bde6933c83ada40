#!/usr/bin/env bash
# Has sslscan, SSLyze and testssl.sh examine a real node's TLS listener in both profiles of WEBSOCKET_SSL_CIPHERS; fails on any
# finding: versions below TLS 1.2, suites without forward secrecy, what differs from Mozilla's profile, what testssl.sh holds
# for MEDIUM or worse.
#
#   tests/tls-scan.sh                      everything: some minutes (`make tls-scan`)
#   tests/tls-scan.sh --fast               sslscan and SSLyze only: under a minute
#   VEDFOLNIR_BIN=PATH tests/tls-scan.sh   this binary; otherwise the debug binary is built with cargo
#
# The tools are Debian's sslscan and testssl.sh, and SSLyze from PyPI, installed outside the repository. What is no fault of
# the listener is left out by name: the test's own authority, which nobody trusts and which answers no OCSP.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tests")
cache=${VEDFOLNIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir}
SSLYZE_VERSION=6.3.1
fast=""
[ "${1:-}" != --fast ] || fast=yes
say() { printf '==> %s\n' "$*" >&2; }

missing=()
command -v sslscan >/dev/null || missing+=(sslscan)
command -v testssl >/dev/null || missing+=(testssl.sh)
command -v openssl >/dev/null || missing+=(openssl)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    say "installing system packages: ${missing[*]}"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi
sslyze=$cache/sslyze-$SSLYZE_VERSION
if [ ! -x "$sslyze/bin/sslyze" ]; then
    say "pip install sslyze → $sslyze"
    rm -rf "$sslyze"
    python3 -m venv "$sslyze"
    "$sslyze/bin/pip" install --quiet --disable-pip-version-check "sslyze==$SSLYZE_VERSION"
fi

if [ -z "${VEDFOLNIR_BIN:-}" ]; then
    # shellcheck source=/dev/null
    (cd "$root" && . .ci/env.sh && cargo build --locked --bin vedfolnir >&2)
    VEDFOLNIR_BIN=$(cd "$root" && . .ci/env.sh >/dev/null && echo "$CARGO_TARGET_DIR/debug/vedfolnir")
fi

work=$(mktemp -d)
node=""
stop_node() {
    [ -z "$node" ] || { kill "$node" 2>/dev/null && wait "$node" 2>/dev/null; } || true
    node=""
}
trap 'stop_node; rm -rf "$work"' EXIT

# An authority, an intermediate-free leaf of each kind, good for 90 days as those of public authorities are.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj '/CN=tls-scan authority' \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
leaf() { # NAME KEY-OPTIONS…
    local name=$1
    shift
    openssl req "$@" -nodes -subj '/CN=localhost' -keyout "$work/$name.key" -out "$work/$name.csr" 2>/dev/null
    openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 90 -out "$work/$name.pem" \
        -extfile <(printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
            extendedKeyUsage=serverAuth subjectAltName=DNS:localhost,IP:127.0.0.1 authorityKeyIdentifier=keyid) 2>/dev/null
}
leaf ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
leaf rsa -newkey rsa:2048

start_node() { # CERTIFICATE PROFILE: sets $port
    local log=$work/node.log
    rm -rf "$work/data"
    env -i PATH="$PATH" HOME="$HOME" \
        WEBSOCKET_PORT=0 WEBSOCKET_TLS_PORT=0 WEBSOCKET_ADMIN_BIND=127.0.0.1:0 WEBSOCKET_CLUSTER_ADDR=127.0.0.1:0 \
        WEBSOCKET_DATA_DIR="$work/data" WEBSOCKET_HSTS_ENABLED=true \
        WEBSOCKET_SSL_CERT_FILE="$work/$1.pem" WEBSOCKET_SSL_KEY_FILE="$work/$1.key" WEBSOCKET_SSL_CIPHERS="$2" \
        "$VEDFOLNIR_BIN" start >"$log" 2>&1 &
    node=$!
    for _ in $(seq 300); do
        port=$(sed -n 's|.*over TLS *https://[^ ]*:\([0-9]*\).*|\1|p' "$log" | head -n 1)
        [ -z "$port" ] || return 0
        kill -0 "$node" 2>/dev/null || break
        sleep 0.1
    done
    cat "$log" >&2
    echo "tls-scan: the node did not start" >&2
    exit 1
}

failed=0
judge() { # WHAT REPORT…: `tests/support/tls_findings.py` prints one line for each finding
    local what=$1
    shift
    if python3 "$tests/support/tls_findings.py" "$@"; then
        echo "ok    $what"
    else
        echo "FAIL  $what"
        failed=1
    fi
}

# The profiles are Mozilla's of the same names; `modern` goes with EC certificates there.
for pair in ec/intermediate rsa/intermediate ec/modern; do
    certificate=${pair%/*}
    profile=${pair#*/}
    start_node "$certificate" "$profile"
    about="$certificate certificate, profile $profile"
    say "$about on port $port"
    sslscan --no-colour --xml="$work/sslscan.xml" "127.0.0.1:$port" >/dev/null
    judge "sslscan: $about" sslscan "$work/sslscan.xml"
    compliant=yes
    "$sslyze/bin/python" -m sslyze --mozilla_config="$profile" --certinfo --certinfo_ca_file="$work/ca.pem" --early_data \
        --fallback --json_out="$work/sslyze.json" "localhost:$port" >"$work/sslyze.txt" 2>&1 || compliant=no
    judge "SSLyze: $about" sslyze "$work/sslyze.json"
    if [ "$compliant" = no ]; then
        sed -n '/COMPLIANCE/,$p' "$work/sslyze.txt"
        echo "FAIL  SSLyze: $about is not Mozilla's"
        failed=1
    fi
    if [ -z "$fast" ]; then
        rm -f "$work/testssl.json"
        testssl --quiet --color 0 --warnings off --ip one --add-ca "$work/ca.pem" \
            --jsonfile "$work/testssl.json" "https://localhost:$port/websocket/health" >"$work/testssl.txt" 2>&1 || true
        judge "testssl.sh: $about" testssl "$work/testssl.json"
    fi
    stop_node
done
[ "$failed" -eq 0 ] && echo "no findings"
exit "$failed"
