#!/bin/sh
# The whole set of measurements: builds release, pins the servers to one core and the load to another, prints the table.
#
#   bench/run.sh [RUNS]          1 by default; 3 for figures that are published
#
#   SERVER_CORE, LOAD_CORE       0 and 1
#   SECONDS_EACH                 10, what is measured of each run, after 2 s of warm-up
#   ONLY                         a pattern for grep -E on the names below, such as ONLY='echo|fan-out'
#   ETCD                         etcd's program (Debian: etcd-server); without one its rows are left out
#   VEDFOLNIR_BIN, BENCH_BIN, RESULTS   see programs.sh
set -eu

cd "$(dirname "$0")/.."
runs="${1:-1}"
server_core="${SERVER_CORE:-0}"
load_core="${LOAD_CORE:-1}"
seconds="${SECONDS_EACH:-10}"
. bench/programs.sh
etcd="${ETCD:-$(command -v etcd || true)}"

# alone NAME VERB OPTION…: one run that starts what it needs itself, its JSON line kept under that name.
alone() {
    name="$1"
    shift
    if [ -n "${ONLY:-}" ] && ! printf '%s' "$name" | grep -Eq "$ONLY"; then
        return
    fi
    printf '\n== %s\n' "$name" >&2
    if ! taskset -c "$load_core" "$bench" --json "$@" --label "$name" --server-core "$server_core" >>"$results"; then
        printf 'this run failed or broke a promise: %s\n' "$name" >&2
        broken=1
    fi
}

# measure NAME VERB OPTION…: the same with the server as it is shipped.
measure() {
    alone "$@" --bin "$server"
}

# beside_etcd NAME PROPOSERS: the same commands on both engines, one after the other.
beside_etcd() {
    alone "$1, Vedfolnir" commands --proposers "$2" --seconds "$seconds"
    if [ -n "$etcd" ]; then
        alone "$1, etcd" commands --proposers "$2" --seconds "$seconds" --engine etcd --etcd "$etcd"
    fi
}

run=1
while [ "$run" -le "$runs" ]; do
    printf '\n==== run %s of %s\n' "$run" "$runs" >&2
    measure "connect 10,000, one node" connect --clients 10000
    measure "echo, one in flight" echo --clients 50 --inflight 1 --seconds "$seconds"
    measure "echo, 16 in flight" echo --clients 50 --inflight 16 --seconds "$seconds"
    measure "echo at 1,000/s" echo --clients 50 --rate 1000 --seconds "$seconds"
    for nodes in 1 3; do
        measure "publishes over HTTP, one in a request, 64 connections, nodes: $nodes" http-publish --nodes "$nodes" --clients 64 --seconds "$seconds"
        measure "publishes over HTTP, 100 in a request, 16 connections, nodes: $nodes" http-publish --nodes "$nodes" --clients 16 --batch 100 --seconds "$seconds"
    done
    measure "publishes over HTTP under a key each, 64 connections, nodes: 3" http-publish --nodes 3 --clients 64 --keys --seconds "$seconds"
    # The backend is a thread of the load's process, on its core.
    measure "events through the backend proxy, 256 clients" backend --clients 256 --seconds "$seconds"
    measure "events through the backend proxy, at 500/s" backend --clients 50 --rate 500 --seconds "$seconds"
    alone "echo, one in flight, embedded, arguments as they came" echo --embedded args --clients 50 --inflight 1 --seconds "$seconds"
    alone "echo, 16 in flight, embedded, arguments as they came" echo --embedded args --clients 50 --inflight 16 --seconds "$seconds"
    alone "echo, 16 in flight, embedded, deserialised" echo --embedded text --clients 50 --inflight 16 --seconds "$seconds"
    measure "fan-out to 1,000, one node, saturated" fanout --clients 1000 --seconds "$seconds"
    measure "fan-out to 1,000, one node, at 10/s" fanout --clients 1000 --rate 10 --seconds "$seconds"
    measure "fan-out to 999, three nodes, saturated" fanout --nodes 3 --clients 999 --seconds "$seconds"
    measure "fan-out to 999, three nodes, at 10/s" fanout --nodes 3 --clients 999 --rate 10 --seconds "$seconds"
    measure "publish, three nodes, 256 publishers" publish --nodes 3 --clients 256 --seconds "$seconds"
    measure "publish, three nodes, 1 publisher" publish --nodes 3 --clients 1 --seconds "$seconds"
    alone "floor: one fsync, one QUIC round trip" floor
    for proposers in 1 16 256 1024; do
        beside_etcd "commands, three nodes, $proposers proposers" "$proposers"
    done
    measure "resume, kill -9 of a follower" resume --cycles 3
    measure "resume, kill -9 of the leader" resume --cycles 3 --leader
    measure "hand-over, SIGTERM of the leader" handover --cycles 3
    run=$((run + 1))
done

"$bench" table "$results"
printf '\nJSON lines: %s\n' "$results" >&2
exit "$broken"
