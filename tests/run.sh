#!/usr/bin/env bash
# Runs the end-to-end tests: real vedfolnir processes, real clients from npm and PyPI.
#
#   tests/run.sh                      every test file
#   tests/run.sh recovery cluster     only these
#   tests/run.sh --long [FILE…]       those of tests/long, which take minutes and are not part of `make test`
#   VEDFOLNIR_BIN=PATH tests/run.sh   with this binary, and examples/ beside it; otherwise the debug ones are built with cargo
#   tests/run.sh --install            only installs the clients (for tests/demo.mjs)
#   VEDFOLNIR_PLANTED_BUG=NAME        with a program of `make planted-build`: to see the tests fail, docs/planted-bugs.md
#   VEDFOLNIR_TEST_KEEP=1             keeps data directories and node logs, and says where
#   VEDFOLNIR_TEST_NAME=PATTERN       only tests whose name matches
#   VEDFOLNIR_TEST_FILES=1            so many files at a time [2]: most tests wait for a node more than they compute
#
# The clients are installed once per lock file, outside the repository. The last line is `N passed, N failed`.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tests")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vedfolnir
say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'tests/run.sh: %s\n' "$*" >&2; echo "0 passed, 1 failed"; exit 1; }

install_packages() {
    local sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    command -v apt-get >/dev/null || fail "$* missing and there is no apt-get: install it by hand"
    say "installing system packages: $*"
    $sudo apt-get install -y --no-install-recommends "$@" >&2 \
        || { $sudo apt-get update >&2 && $sudo apt-get install -y --no-install-recommends "$@" >&2; } \
        || fail "could not install $*"
}

command -v node >/dev/null || fail "Node.js 20 or later is needed"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" = true ] \
    || fail "Node.js 20 or later is needed, this is $(node --version)"
python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages python3 python3-venv

# Installs into a directory named after what it holds; a directory is complete once it has its final name.
digest() { cat "$@" | sha256sum | cut -c1-16; }
install_once() { # DIRECTORY COMMAND…: the command fills a new directory, given as its last argument
    local directory=$1 scratch
    shift
    [ -e "$directory" ] && return
    mkdir -p "$(dirname "$directory")"
    scratch=$(mktemp -d "$directory.XXXXXX")
    if ! "$@" "$scratch" >&2; then
        rm -rf "$scratch"
        fail "could not install the clients"
    fi
    mv -T "$scratch" "$directory" 2>/dev/null || rm -rf "$scratch"
}
npm_into() {
    cp "$tests/package.json" "$tests/package-lock.json" "$tests/.npmrc" "$1/"
    (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts)
}
pip_into() { # REQUIREMENTS DIRECTORY: not a venv that is moved: `--target`, which has no absolute paths inside
    python3 -m venv "$2/installer" && "$2/installer/bin/pip" install --quiet --disable-pip-version-check \
        --no-compile --target "$2/site" -r "$1" && rm -rf "$2/installer"
}
python_packages() { # REQUIREMENTS NAME: prints where they are, installed once
    local directory
    directory=$cache/$2-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')-$(digest "$1")
    [ -e "$directory" ] || say "pip install → $directory"
    install_once "$directory" pip_into "$1" || return
    echo "$directory/site"
}
node_clients=$cache/tests-node-$(digest "$tests/package.json" "$tests/package-lock.json")
[ -e "$node_clients" ] || say "npm ci → $node_clients"
install_once "$node_clients" npm_into
VEDFOLNIR_PYTHONPATH=$(python_packages "$tests/requirements.txt" tests-python)
ln -sfn "$node_clients/node_modules" "$tests/node_modules"
export VEDFOLNIR_PYTHONPATH
[ "${1:-}" != --install ] || exit 0

built=
if [ -z "${VEDFOLNIR_BIN:-}" ]; then
    built=yes
    say "cargo build --locked"
    (cd "$root" && cargo build --locked --bin vedfolnir >&2) || fail "vedfolnir does not build"
    target=${CARGO_TARGET_DIR:-target}
    case $target in /*) ;; *) target=$root/$target ;; esac
    export VEDFOLNIR_BIN=$target/debug/vedfolnir
fi
VEDFOLNIR_BIN=$(realpath "$VEDFOLNIR_BIN")
[ -x "$VEDFOLNIR_BIN" ] || fail "VEDFOLNIR_BIN=$VEDFOLNIR_BIN is no executable"
export VEDFOLNIR_BIN

# A hundred clients and three nodes need more descriptors than some shells allow.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

files=()
directory=$tests
if [ "${1:-}" = --long ]; then
    directory=$tests/long
    shift
fi
if [ $# -gt 0 ]; then
    for name in "$@"; do
        file=$directory/$(basename "${name%.test.mjs}").test.mjs
        [ -e "$file" ] || fail "there is no $file"
        files+=("$file")
    done
else
    files=("$directory"/*.test.mjs)
fi
case "${files[*]}" in
    *object_store*)
        VEDFOLNIR_S3_PYTHONPATH=$(python_packages "$tests/requirements-s3.txt" tests-s3)
        export VEDFOLNIR_S3_PYTHONPATH
        ;;
esac
case "${files[*]}" in
    *openapi*)
        VEDFOLNIR_OPENAPI_PYTHONPATH=$(python_packages "$tests/requirements-openapi.txt" tests-openapi)
        export VEDFOLNIR_OPENAPI_PYTHONPATH
        ;;
esac
case "${built}${files[*]}" in
    yes*embedded*)
        # Beside the program. Of the whole workspace, so that they have the features that the tests were built with.
        say "cargo build --locked --workspace --examples"
        (cd "$root" && cargo build --locked --workspace --examples >&2) || fail "the examples do not build"
        ;;
esac
options=(--test --test-concurrency="${VEDFOLNIR_TEST_FILES:-2}" --test-reporter="$tests/support/reporter.mjs" --test-reporter-destination=stdout)
[ -z "${VEDFOLNIR_TEST_NAME:-}" ] || options+=(--test-name-pattern="$VEDFOLNIR_TEST_NAME")
say "VEDFOLNIR_BIN=$VEDFOLNIR_BIN ($("$VEDFOLNIR_BIN" --version 2>/dev/null | head -1 || echo 'version unknown'))"
say "node ${options[*]} ${files[*]}"
cd "$tests"
exec node "${options[@]}" "${files[@]}"
