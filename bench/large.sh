#!/bin/sh
# A state of a million sessions: what it weighs, what its snapshots do to commits, what resumes cost in it, beside a small
# one. Opening the sessions alone takes minutes; all nodes and the load share the machine's cores.
#
#   bench/large.sh
#
#   SESSIONS, HISTORY_MIB        1,000,000 and 256
#   SECONDS_EACH                 90, of each load
#   SEED                         1
#   VEDFOLNIR_BIN, BENCH_BIN, RESULTS   see programs.sh
set -eu

cd "$(dirname "$0")/.."
sessions="${SESSIONS:-1000000}"
history="${HISTORY_MIB:-256}"
seconds="${SECONDS_EACH:-90}"
seed="${SEED:-1}"
. bench/programs.sh

# measure NAME VERB OPTION…: one run, its JSON line kept under that name.
measure() {
    name="$1"
    shift
    printf '\n== %s (load average %s)\n' "$name" "$(cut -d ' ' -f 1-3 /proc/loadavg)" >&2
    if ! "$bench" --json "$@" --seed "$seed" --label "$name" >>"$results"; then
        printf 'this run failed or broke a promise: %s\n' "$name" >&2
        broken=1
    fi
}

measure "the state alone, 1,000 sessions" state --sessions 1000 --history-mib 1
measure "the state alone, $sessions sessions" state --sessions "$sessions" --history-mib "$history"
measure "three nodes, 1,000 sessions" large --bin "$server" --sessions 1000 --history-mib 1 --seconds "$seconds"
measure "three nodes, $sessions sessions" large --bin "$server" --sessions "$sessions" --history-mib "$history" \
    --seconds "$seconds"

"$bench" table "$results"
printf '\nJSON lines: %s\n' "$results" >&2
exit "$broken"
