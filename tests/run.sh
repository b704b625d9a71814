#!/usr/bin/env bash
# Runs every test of the workspace; installs what they need and is missing.
# Never skips: what cannot be installed is an error that says so.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests start redis-server processes of their own, on free ports.
if ! command -v redis-server >/dev/null; then
    echo "tests/run.sh: redis-server is missing, installing it" >&2
    sudo=$([ "$(id -u)" = 0 ] || command -v sudo || true)
    if command -v apt-get >/dev/null; then
        $sudo apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends redis-server >&2
    elif command -v dnf >/dev/null; then
        $sudo dnf install -qy redis >&2
    elif command -v apk >/dev/null; then
        $sudo apk add -q redis >&2
    elif command -v brew >/dev/null; then
        brew install -q redis >&2
    fi
    command -v redis-server >/dev/null || {
        echo "tests/run.sh: no redis-server, and no way known here to install it:" \
            "put Redis 6.2 or later on the PATH and run this again" >&2
        exit 1
    }
fi

echo "== tests"
cargo test --workspace --all-features --no-fail-fast "$@"

# What moves a gigabyte is tested as it is used: optimised.
echo "== a gigabyte between two processes"
cargo test --release --test cli_bulk -- --nocapture

echo "== all tests passed"
