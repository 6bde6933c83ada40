#!/bin/sh
# Runs the fuzz targets, one after the other on each processor: `make fuzz`. docs/fuzzing.md says more.
#
#   fuzz/run.sh                        every target
#   TARGET=payload RUNS=100000 …       one, and how many inputs (1000000); TARGET takes several, separated by blanks
#   TARGET=payload REPLAY=FILE …       one input, with everything that it prints
#   CORPUS=keep …                      afterwards what was found goes, as little of it as reaches all, into fuzz/corpus
#
# What is found stays in the cache and is gone on with at the next run. Exit 1: an input crashed, hung or took too much
# memory; 2: it could not be run.
set -eu
cd "$(dirname "$0")/.."

: "${RUNS:=1000000}"
: "${JOBS:=$(nproc 2>/dev/null || echo 2)}"
# Inputs of one target in the repository.
KEPT_MAX=40
# An input takes microseconds; ten seconds are a hang on any machine.
TIMEOUT_SECONDS=10
# Of the whole process, in MiB: libFuzzer's own tables and C libraries included. Rust's memory is bounded by each target.
RSS_MIB=1024

# Lines of "TARGET PROGRAM BYTES", the last being an input's length at most.
table() {
    for part in protocol cluster server; do
        program="$CARGO_TARGET_DIR/debug/fuzz-$part"
        # libFuzzer misses the sanitizers that nobody asked for, and says so.
        "$program" 2>/dev/null | awk -v program="$program" '{ print $1, program, $2 }'
    done
}

find_target() {
    found=$(grep "^$1 " "$FUZZ_CACHE/targets") || {
        echo "fuzz: there is no target $1; there are: $(cut -d' ' -f1 "$FUZZ_CACHE/targets" | tr '\n' ' ')" >&2
        exit 2
    }
    echo "${found#* }"
}

# One target; prints its line.
one() {
    name=$1
    found=$(find_target "$name") || exit 2
    program=${found% *}
    bytes=${found#* }
    corpus="$FUZZ_CACHE/corpus/$name"
    crashes="$FUZZ_CACHE/crashes/$name"
    log="$FUZZ_CACHE/$name.log"
    # Files that a target writes go to memory, and go away with it.
    scratch=$(mktemp -d "$( [ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}" )/vedfolnir-fuzz.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$corpus" "$crashes"
    status=0
    FUZZ_TARGET="$name" TMPDIR="$scratch" "$program" "$corpus" "fuzz/corpus/$name" -runs="$RUNS" -max_len="$bytes" \
        -timeout="$TIMEOUT_SECONDS" -rss_limit_mb="$RSS_MIB" -artifact_prefix="$crashes/" -print_final_stats=1 \
        -verbosity=1 >"$log" 2>&1 || status=$?
    awk -v name="$name" '
        match($0, /cov: [0-9]+/) { cov = substr($0, RSTART + 5, RLENGTH - 5) }
        /^Done [0-9]+ runs in/ { took = $5 }
        /number_of_executed_units/ { runs = $2 }
        /new_units_added/ { added = $2 }
        /peak_rss_mb/ { rss = $2 }
        END {
            rate = took > 0 ? int(runs / took) "/s" : "> " runs "/s"
            printf "%-16s %8d inputs %11s   coverage %5d   %4d new   %4d MiB\n", name, runs, rate, cov, added, rss
        }' "$log"
    if [ "$status" -ne 0 ]; then
        artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        {
            echo "!!! $name: $(grep -m 1 -E 'panicked|ERROR: libFuzzer' "$log" || echo "exit $status"), see $log"
            echo "    replay: make fuzz TARGET=$name REPLAY=${artifact:-FILE}"
        } >&2
        exit 1
    fi
    if [ "${CORPUS:-}" = keep ]; then
        keep "$name" "$program" "$bytes"
    fi
}

# Adds to what is in the repository, which stays, as few inputs as reach what it does not.
keep() {
    merged="$scratch/merged"
    mkdir -p "$merged" "fuzz/corpus/$1"
    cp -r "fuzz/corpus/$1/." "$merged"
    FUZZ_TARGET="$1" TMPDIR="$scratch" "$2" -set_cover_merge=1 -max_len="$3" -timeout="$TIMEOUT_SECONDS" "$merged" \
        "$FUZZ_CACHE/corpus/$1" >"$FUZZ_CACHE/$1.merge.log" 2>&1
    room=$((KEPT_MAX - $(find "fuzz/corpus/$1" -type f | wc -l)))
    [ "$room" -gt 0 ] || return 0
    # The merge names its files by all forty digits of their hash. Smaller ones first: a long one is mostly a short one, and more.
    find "$merged" -type f -name '????????????????????????????????????????' -printf '%s %p\n' | sort -n | head -n "$room" |
        while read -r _ file; do
            cp "$file" "fuzz/corpus/$1/$(basename "$file" | cut -c1-12)"
        done
}

if [ "${1:-}" = --one ]; then
    one "$2"
    exit
fi

. .ci/env.sh
FUZZ_CACHE="$VEDFOLNIR_CACHE/fuzz"
export FUZZ_CACHE RUNS CORPUS="${CORPUS:-}"
mkdir -p "$FUZZ_CACHE"
# Coverage is counted in the workspace's own crates: what a dependency does is not looked for, but what of it is generic is
# compiled into ours. Dependencies are those of the program's own build, and not built again.
RUSTC_WORKSPACE_WRAPPER="$(pwd)/fuzz/rustc.sh" cargo build --quiet --locked -p vedfolnir-fuzz --features libfuzzer
table >"$FUZZ_CACHE/targets"

if [ -n "${REPLAY:-}" ]; then
    found=$(find_target "${TARGET:?name the target of the input: TARGET=…}") || exit 2
    FUZZ_TARGET="$TARGET" RUST_BACKTRACE=1 exec "${found% *}" -timeout="$TIMEOUT_SECONDS" "$REPLAY"
fi

targets=${TARGET:-$(cut -d' ' -f1 "$FUZZ_CACHE/targets")}
for name in $targets; do
    find_target "$name" >/dev/null || exit 2
done
# shellcheck disable=SC2086 # a list of names
if printf '%s\n' $targets | xargs -P "$JOBS" -n 1 fuzz/run.sh --one; then
    echo "fuzz: every target stood $RUNS inputs"
else
    echo "fuzz: FAILED" >&2
    exit 1
fi
