#!/usr/bin/env bash
# Runs every test of the workspace; installs what they need and is missing, and asks
# nothing. Never skips: what cannot be installed is an error that says so. A stage that
# fails hides no other: all are run, and what became of each is said at the end.
#
# Arguments are for `cargo test` of the first stage. Variables: SOAK_SEED, the seed of
# the last; SCHEDULE_SEEDS, how many schedules core's tests try.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/stages.sh
# A tenth of it is cargo test's own default.
export SCHEDULE_SEEDS=${SCHEDULE_SEEDS:-10000}

# Installs a program that is missing: its name, then the package that has it for
# each package manager known here.
need() {
    local program=$1 debian=$2 fedora=$3 alpine=$4 brew=$5 sudo
    type -P "$program" >/dev/null && return
    echo "tests/run.sh: $program is missing, installing it" >&2
    # Where a password would be asked for, it is an error.
    sudo=$([ "$(id -u)" = 0 ] || echo "$(type -P sudo || true) -n")
    [ "$sudo" != " -n" ] || sudo=
    if type -P apt-get >/dev/null; then
        $sudo apt-get update -q >&2 && $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends "$debian" >&2 || true
    elif type -P dnf >/dev/null; then
        $sudo dnf install -qy "$fedora" >&2 || true
    elif type -P apk >/dev/null; then
        $sudo apk add -q "$alpine" >&2 || true
    elif type -P brew >/dev/null; then
        NONINTERACTIVE=1 brew install -q "$brew" >&2 || true
    fi
    hash -r
    type -P "$program" >/dev/null || {
        echo "tests/run.sh: no $program, and no way known here to install it:" \
            "put it on the PATH and run this again" >&2
        exit 1
    }
}

# The tests start redis-server processes of their own, on free ports (Redis 6.2 or
# later), stop and continue processes with kill, have script for a terminal, and look at
# certificates as peers of other stacks do.
workspace() {
    need redis-server redis-server redis redis redis
    need kill procps procps-ng procps coreutils
    need script bsdutils util-linux-script util-linux util-linux
    need openssl openssl openssl openssl openssl
    cargo test --workspace --all-features --no-fail-fast "$@"
}

# Ten million inputs for each decoder. In a folder of its own, as one that is being
# built in is not to be had. libFuzzer is C++.
fuzzed() {
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz fuzz/run.sh
}

# Of one feature also the lack is tested. Of the whole workspace, as nearly all of that is
# built already.
without_qlog() {
    cargo test --workspace --test qlog
}

# What moves a gigabyte is tested as it is used: optimised. But not across crates, which
# takes the linker longer than it saves here.
gigabyte() {
    CARGO_PROFILE_RELEASE_LTO=off cargo test --release --test cli_bulk -- --nocapture
}

# Clouds of network namespaces, with a router and its firewall between them. They
# need root, which the compiler does not.
clouds() {
    need ip iproute2 iproute iproute2 iproute2mac
    need iptables iptables iptables iptables iptables
    need sysctl procps procps-ng procps procps
    local rootly=()
    [ "$(id -u)" = 0 ] || rootly=(--config "target.'cfg(unix)'.runner = 'sudo -n -E'")
    cargo ${rootly[@]+"${rootly[@]}"} test --workspace --all-features --test routed -- \
        --ignored --nocapture
}

# The environment of docker-compose.yml, whole and broken.
containers() {
    docker info >/dev/null 2>&1 || {
        echo "tests/run.sh: no Docker engine answers, and the tests of docker-compose.yml need one" >&2
        exit 1
    }
    tests/base-images.sh
    local compose=(docker-compose)
    docker compose version >/dev/null 2>&1 && compose=(docker compose)
    "${compose[@]}" version >/dev/null 2>&1 || {
        echo "tests/run.sh: there is neither docker compose nor docker-compose" >&2
        exit 1
    }
    "${compose[@]}" build
    cargo test --workspace --all-features --test compose -- --ignored --nocapture --test-threads 4
}

# As its users run it, but for the folder that it is built in.
replicated_store() {
    cd examples/raft-kv
    cargo test --locked --no-fail-fast -- --include-ignored --nocapture
}

services() {
    cd examples/adapters
    cargo test --locked --no-fail-fast
}

# Ten minutes of it are in README.md; this is a tenth.
soak() {
    CARGO_PROFILE_RELEASE_LTO=off \
        cargo run --release --example soak -- --seconds 60 --seed "${SOAK_SEED:-7}"
}

stage "a compiler for the fuzzer" need "${CXX:-c++}" g++ gcc-c++ g++ gcc
# Beside the tests, which mostly wait.
beside "inputs that are looked for by coverage" fuzzed
stage "tests" workspace "$@"
stage "what is not built in" without_qlog
stage "other servers in Redis' place" tests/other-redis.sh
stage "a gigabyte between two processes" gigabyte
[ "$(uname)" != Linux ] || stage "clouds, firewalls, packet sizes" clouds
stage "containers" containers
stage "a project of its own: a replicated store, its leader cut off" replicated_store
stage "a project of its own: services of axum, tonic and others, as they are" services
arrived
[ "$(uname)" != Linux ] || stage "a minute in which everything goes wrong" soak
summed_up
echo "== all tests passed"
