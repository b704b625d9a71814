#!/usr/bin/env bash
# Runs every test of the workspace; installs what they need and is missing.
# Never skips: what cannot be installed is an error that says so.
set -euo pipefail
cd "$(dirname "$0")/.."
export SCHEDULE_SEEDS=${SCHEDULE_SEEDS:-10000} # of core's tests, which run a tenth by default

# Installs a program that is missing: its name, then the package that has it for
# each package manager known here.
need() {
    local program=$1 debian=$2 fedora=$3 alpine=$4 brew=$5 sudo
    type -P "$program" >/dev/null && return
    echo "tests/run.sh: $program is missing, installing it" >&2
    sudo=$([ "$(id -u)" = 0 ] || type -P sudo || true)
    if type -P apt-get >/dev/null; then
        $sudo apt-get update -q >&2
        $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends "$debian" >&2
    elif type -P dnf >/dev/null; then
        $sudo dnf install -qy "$fedora" >&2
    elif type -P apk >/dev/null; then
        $sudo apk add -q "$alpine" >&2
    elif type -P brew >/dev/null; then
        brew install -q "$brew" >&2
    fi
    hash -r
    type -P "$program" >/dev/null || {
        echo "tests/run.sh: no $program, and no way known here to install it:" \
            "put it on the PATH and run this again" >&2
        exit 1
    }
}

# The tests start redis-server processes of their own, on free ports (Redis 6.2 or
# later), stop and continue processes with kill, and have script for a terminal.
need redis-server redis-server redis redis redis
need kill procps procps-ng procps coreutils
need script bsdutils util-linux-script util-linux util-linux

# Ten million inputs for each decoder, beside the tests, which mostly wait. In a folder
# of its own, as one that is being built in is not to be had. libFuzzer is C++.
need "${CXX:-c++}" g++ gcc-c++ g++ gcc
said=$(mktemp)
trap 'rm -f "$said"; kill "$fuzz" 2>/dev/null || true' EXIT
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz nice -n 19 fuzz/run.sh >"$said" 2>&1 &
fuzz=$!

echo "== tests"
cargo test --workspace --all-features --no-fail-fast "$@"

# What moves a gigabyte is tested as it is used: optimised.
echo "== a gigabyte between two processes"
cargo test --release --test cli_bulk -- --nocapture

# Clouds of network namespaces, with a router and its firewall between them. They
# need root, which the compiler does not.
if [ "$(uname)" = Linux ]; then
    echo "== clouds, firewalls, packet sizes"
    need ip iproute2 iproute iproute2 iproute2mac
    need iptables iptables iptables iptables iptables
    need sysctl procps procps-ng procps procps
    rootly=()
    [ "$(id -u)" = 0 ] || rootly=(--config "target.'cfg(unix)'.runner = 'sudo -E'")
    cargo ${rootly[@]+"${rootly[@]}"} test --workspace --all-features --test routed -- \
        --ignored --nocapture
fi

# The environment of docker-compose.yml, whole and broken.
echo "== containers"
docker info >/dev/null 2>&1 || {
    echo "tests/run.sh: no Docker engine answers, and the tests of docker-compose.yml need one" >&2
    exit 1
}
tests/base-images.sh
compose=(docker-compose)
docker compose version >/dev/null 2>&1 && compose=(docker compose)
"${compose[@]}" version >/dev/null 2>&1 || {
    echo "tests/run.sh: there is neither docker compose nor docker-compose" >&2
    exit 1
}
"${compose[@]}" build
cargo test --workspace --all-features --test compose -- --ignored --nocapture --test-threads 4

# As its users run it, but for the folder that it is built in.
echo "== a project of its own: a replicated store, its leader cut off"
(
    export CARGO_TARGET_DIR="$PWD/target"
    cd examples/raft-kv
    cargo test --locked
    cargo test --locked --test partition -- --ignored --nocapture
)

echo "== a project of its own: services of axum, tonic and others, as they are"
(
    export CARGO_TARGET_DIR="$PWD/target"
    cd examples/adapters
    cargo test --locked
)

echo "== inputs that are looked for by coverage"
wait "$fuzz" || { cat "$said"; exit 1; }
cat "$said"

# Ten minutes of it are in README.md; this is a tenth.
if [ "$(uname)" = Linux ]; then
    echo "== a minute in which everything goes wrong"
    cargo run --release --example soak -- --seconds 60 --seed "${SOAK_SEED:-7}"
fi

echo "== all tests passed"
