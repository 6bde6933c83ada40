#!/bin/sh
# Installs the system packages that building and testing need and that are missing; says which. Debian and its kin.
set -eu

missing=""
need() { # COMMAND-OR-FILE-TEST PACKAGE
    if ! sh -c "$1" >/dev/null 2>&1; then
        missing="$missing $2"
    fi
}

need 'command -v cc' gcc
need 'command -v c++' g++
need 'command -v make' make
need 'command -v pkg-config' pkg-config
# libclang itself: libclang-cpp, which other packages bring along, does not help bindgen.
need 'find /usr/lib /usr/local/lib -name "libclang.so*" -o -name "libclang-[0-9]*.so*" | grep -q .' libclang-dev
need 'command -v python3' python3
need 'python3 -c "import ensurepip, venv"' python3-venv
need 'command -v curl' curl
need 'command -v openssl' openssl
# What the end-to-end tests put in front of the nodes.
need 'command -v nginx || test -x /usr/sbin/nginx' nginx-light
need 'ls /usr/lib/nginx/modules/ngx_stream_module.so' libnginx-mod-stream
need 'command -v haproxy || test -x /usr/sbin/haproxy' haproxy
# A browser for the pages of tests/browser.test.mjs.
need 'command -v chromium || command -v chromium-browser || command -v google-chrome' chromium

# Where their logs go.
need 'command -v rsyslogd || test -x /usr/sbin/rsyslogd' rsyslog
need 'ls /usr/lib/*/rsyslog/lmnsd_gtls.so' rsyslog-gnutls
need 'command -v logrotate || test -x /usr/sbin/logrotate' logrotate

# What judges the unit and makes its user and directories.
need 'command -v systemd-analyze && command -v systemd-sysusers' systemd
need 'command -v ip' iproute2
need 'command -v jq' jq

# What scrapes them, and what its alerts go to.
need 'command -v prometheus' prometheus
need 'command -v prometheus-alertmanager' prometheus-alertmanager

for tool in cargo node npm; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "setup: $tool is missing: install the Rust toolchain (rustup.rs) and Node.js (nodejs.org) first" >&2
        exit 1
    fi
done

if [ -z "$missing" ]; then
    echo "setup: all system packages are there"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing:$missing - there is no apt-get here, install their equivalents and run this again" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo"
    command -v sudo >/dev/null 2>&1 || {
        echo "setup: missing:$missing - neither root nor sudo here, have them installed and run this again" >&2
        exit 1
    }
fi
echo "setup: installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
echo "setup: installed$missing"
