#!/bin/sh
# What TLS, rate limits and origins cost: handshakes a second by OpenSSL's own client, the same echo plain, over TLS, and with
# all limits on.
#
#   bench/tls.sh [RUNS]
#
#   SERVER_CORE, LOAD_CORE, SECONDS_EACH, VEDFOLNIR_BIN, BENCH_BIN, RESULTS: as for run.sh
set -eu

cd "$(dirname "$0")/.."
runs="${1:-1}"
server_core="${SERVER_CORE:-0}"
load_core="${LOAD_CORE:-1}"
seconds="${SECONDS_EACH:-10}"
. bench/programs.sh

directory=$(mktemp -d)
node=''
cleanup() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    [ -z "$node" ] || wait "$node" 2>/dev/null || true
    rm -rf "$directory"
}
trap cleanup EXIT INT TERM

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$directory/key.pem" -out "$directory/cert.pem" 2>/dev/null
chmod 600 "$directory/key.pem"

# start NAME=VALUE…: a node on ports that the system chooses; sets plain and secure.
start() {
    [ -z "$node" ] || { kill "$node"; wait "$node" 2>/dev/null || true; }
    rm -rf "$directory/data"
    : >"$directory/out"
    env WEBSOCKET_DATA_DIR="$directory/data" WEBSOCKET_PORT=0 WEBSOCKET_TLS_PORT=0 WEBSOCKET_ADMIN_BIND=127.0.0.1:0 \
        WEBSOCKET_CLUSTER_ADDR=127.0.0.1:0 WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT=1 WEBSOCKET_LOG_LEVEL=ERROR \
        WEBSOCKET_SSL_CERT_FILE="$directory/cert.pem" WEBSOCKET_SSL_KEY_FILE="$directory/key.pem" "$@" \
        taskset -c "$server_core" "$server" start >"$directory/out" 2>"$directory/err" &
    node=$!
    until grep -q 'is ready' "$directory/out"; do
        kill -0 "$node" || { cat "$directory/err" >&2; exit 1; }
        sleep 0.1
    done
    plain=$(sed -n 's/^  Socket.IO *//p' "$directory/out")
    secure=$(sed -n 's/^  over TLS *//p' "$directory/out")
}

echo_to() {
    printf '\n== %s\n' "$1" >&2
    taskset -c "$load_core" "$bench" --json echo --url "$2" --server-pid "$node" --clients 50 --seconds "$seconds" --label "$1" \
        >>"$results" || broken=1
}

run=1
while [ "$run" -le "$runs" ]; do
    start WEBSOCKET_RATE_LIMITING=false
    echo_to "echo, plain" "$plain"
    echo_to "echo, over TLS" "$secure"
    for version in -tls1_2 -tls1_3; do
        printf '\n== handshakes, one after the other %s\n' "$version" >&2
        taskset -c "$load_core" openssl s_time -connect "${secure#https://}" -new -time "$seconds" "$version" 2>/dev/null |
            grep 'real seconds' >&2
    done
    start WEBSOCKET_RATE_LIMITING=true WEBSOCKET_RATE_LIMIT_MESSAGES=1000000 WEBSOCKET_RATE_LIMIT_MESSAGES_BURST=1000000 \
        WEBSOCKET_RATE_LIMIT_BYTES=1GB WEBSOCKET_RATE_LIMIT_BYTES_BURST=1GB WEBSOCKET_MAX_CONNECTIONS_PER_IP=1000 \
        WEBSOCKET_RATE_LIMIT_CONNECTS=10000
    echo_to "echo, plain, all limits on" "$plain"
    run=$((run + 1))
done

"$bench" table "$results"
exit "$broken"
