#!/bin/sh
# What is depended on: bans, licences and sources always, advisories where their database is reachable.
#
# The tool is built once into the cache, in CI (CI=true) or when asked for (VEDFOLNIR_DENY=install); elsewhere one that
# is there is used, and a missing one is said loudly. Prints "checked: ..." and "skipped: ..." lines.
set -eu
cd "$(dirname "$0")/.."
version=0.20.2
tools="${VEDFOLNIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir}/tools/cargo-deny-$version"

deny=""
if [ -x "$tools/bin/cargo-deny" ]; then
    deny="$tools/bin/cargo-deny"
elif command -v cargo-deny >/dev/null 2>&1; then
    deny=$(command -v cargo-deny)
elif [ "${CI:-}" = true ] || [ "${VEDFOLNIR_DENY:-}" = install ]; then
    echo "deny: building cargo-deny $version once into $tools"
    # Unoptimised: it runs for seconds, it need not be built for minutes.
    (
        unset CARGO_TARGET_DIR
        cargo install --quiet --locked --debug --root "$tools" --version "=$version" cargo-deny
    )
    deny="$tools/bin/cargo-deny"
else
    echo "!!! SKIPPED: bans, licences, sources and advisories: cargo-deny is not there (VEDFOLNIR_DENY=install make test)"
    exit 0
fi

"$deny" --all-features check --hide-inclusion-graph bans licenses sources
echo "checked: bans, licences, sources"
if "$deny" fetch db >/dev/null 2>&1; then
    "$deny" --all-features check --hide-inclusion-graph advisories
    echo "checked: advisories"
else
    echo "!!! SKIPPED: advisories: their database is not reachable from here"
fi
