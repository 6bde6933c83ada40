#!/bin/sh
# Runs scenarios against the program with planted bugs, one bug at a time: each must be caught (make mutants).
#
#   BUGS="two-writers skip-fsync"   only these; SEEDS=3: tries for each; PROGRAM=PATH: built already (chaos/planted.sh)
#   CHAOS=PATH                      the harness [default: the same program]
#
# Prints a line for each bug as it ends: caught or MISSED, by which scenario and seed, and which promise broke. Exit code 1 if one
# was missed. What the simulator catches is in docs/planted-bugs.md with its seeds.
set -eu
cd "$(dirname "$0")/.."
SEEDS=${SEEDS:-3}
PROGRAM=${PROGRAM:-$(chaos/planted.sh)}
CHAOS=${CHAOS:-"$PROGRAM chaos"}
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

# Bug, and the scenarios that should find it, the likeliest first.
table() {
    cat <<'TABLE'
skip-fsync power-loss-all
tail-dropped kill-all
ack-before-commit kill-leader partition-symmetric
apply-twice rolling-restart
no-sequence-check kill-leader
node-down-ignored pause-leader
resume-keeps-epoch none
expiry-by-wall-clock clock-jump
seam-off-by-one kill-follower
read-unconfirmed pause-leader partition-symmetric
read-too-early none
resume-only-once rolling-restart
seam-sends-both kill-follower
replay-without-offset rolling-restart
rooms-lost-on-resume kill-follower
resume-under-new-sid kill-follower
old-owner-not-fenced none
disconnect-ends-session rolling-restart
post-handled-twice none
upgrade-drops-queued kill-follower
two-writers none
drain-disconnects rolling-restart
minority-keeps-clients minority-isolated
timeout-acked partition-symmetric minority-isolated
wiped-node-keeps-id wiped-disk
expired-certificate-accepted expired-certificate
wal-left-out kill-all
disk-error-swallowed fsync-error disk-full
marker-ignored truncated-file corrupt-log
fatal-ignored fsync-error
slow-reader-drops stalled-readers
snapshot-unchecked corrupt-snapshot
slow-reader-unbounded stalled-readers
TABLE
}

caught=0
missed=0
table >"$reports/table"
while read -r bug scenarios; do
    case " ${BUGS:-$bug} " in *" $bug "*) ;; *) continue ;; esac
    found=
    for seed in $(seq "$SEEDS"); do
        for scenario in $scenarios; do
            status=0
            # The harness passes the variable on to the nodes; --official brings polling and upgrades.
            VEDFOLNIR_PLANTED_BUG=$bug $CHAOS run "$scenario" --quick --seed "$seed" --bin "$PROGRAM" --quiet \
                --report "$reports/run" >"$reports/out" 2>&1 </dev/null || status=$?
            if [ "$status" -eq 1 ]; then
                broke=$(sed -n 's/^\(I[0-9]\)  BROKEN.*/\1/p' "$reports/out" | tr '\n' ' ')
                found="$scenario, seed $seed: ${broke:-?}"
                break 2
            fi
            [ "$status" -eq 0 ] || sed 's/^/    /' "$reports/out" | tail -3
            rm -rf "$reports/run"
        done
    done
    rm -rf "$reports/run"
    if [ -n "$found" ]; then
        caught=$((caught + 1))
        printf 'caught  %-30s %s\n' "$bug" "$found"
    else
        missed=$((missed + 1))
        printf 'MISSED  %-30s %s\n' "$bug" "$scenarios"
    fi
done <"$reports/table"
printf '%s caught, %s missed\n' "$caught" "$missed"
[ "$missed" -eq 0 ]
