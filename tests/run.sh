#!/usr/bin/env bash
# Runs every test of the workspace.
#
#   tests/run.sh             lists the programs that are missing, and how to install them,
#                            and stops; runs the tests if none is missing
#   tests/run.sh --install   installs them first, without asking; CI uses this
#
# Never skips a test: what cannot be installed fails its stage. A failed stage does not
# stop the others; the summary at the end lists the result of each.
#
# Further arguments are for `cargo test` of the first stage. Variables: SOAK_SEED, the
# seed of the last stage; SCHEDULE_SEEDS, the number of schedules that core's tests try.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/stages.sh

install=
if [ "${1-}" = --install ]; then
    install=--install
    shift
fi

# cargo test alone tries a tenth of this.
export SCHEDULE_SEEDS=${SCHEDULE_SEEDS:-10000}

# Chromium, as distributions call it, and Chrome, which CI's machines have.
browser=$(type -P chromium chromium-browser google-chrome | head -n 1 || true)

# A program, then the package that has it for apt-get, dnf, apk and brew.
packages=(
    "${CXX:-c++} g++ gcc-c++ g++ gcc"
    "redis-server redis-server redis redis redis"
    "kill procps procps-ng procps coreutils"
    "script bsdutils util-linux-script util-linux util-linux"
    "openssl openssl openssl openssl openssl"
    "python3 python3 python3 python3 python3"
)
[ "$(uname)" != Linux ] || packages+=(
    "ip iproute2 iproute iproute2 iproute2mac"
    "iptables iptables iptables iptables iptables"
    "sysctl procps procps-ng procps procps"
    "${browser:-chromium} chromium chromium chromium chromium"
    "tshark tshark wireshark-cli tshark wireshark"
)

# The package manager, and sudo, which must not ask for a password.
manager= sudo=
for program in apt-get dnf apk brew; do
    if type -P $program >/dev/null; then
        manager=$program
        break
    fi
done
if [ "$(id -u)" != 0 ] && [ "$manager" != brew ] && type -P sudo >/dev/null; then
    sudo="sudo -n"
fi

# The packages of all programs that are missing.
missing_packages() {
    local program debian fedora alpine brew package
    for package in "${packages[@]}"; do
        read -r program debian fedora alpine brew <<<"$package"
        type -P "$program" >/dev/null && continue
        case $manager in
        dnf) echo "$fedora" ;;
        apk) echo "$alpine" ;;
        brew) echo "$brew" ;;
        *) echo "$debian" ;;
        esac
    done
    # Debian has the part of Python that makes a venv in a package of its own.
    [ "$manager" != apt-get ] || python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# What is missing, one thing per line.
missing_programs() {
    local package
    for package in "${packages[@]}"; do
        type -P "${package%% *}" >/dev/null || echo "${package%% *}"
    done
    ! type -P python3 >/dev/null || python3 -c 'import ensurepip' 2>/dev/null ||
        echo "python3's module ensurepip"
    docker info >/dev/null 2>&1 ||
        echo "a running Docker engine: https://docs.docker.com/engine/install/"
    [ -n "$(compose)" ] ||
        echo "docker compose: https://docs.docker.com/compose/install/"
}

# The command that installs packages.
install_command() {
    case $manager in
    apt-get) echo "${sudo:+$sudo }env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends" ;;
    dnf) echo "${sudo:+$sudo }dnf install -qy" ;;
    apk) echo "${sudo:+$sudo }apk add -q" ;;
    brew) echo "env NONINTERACTIVE=1 brew install -q" ;;
    esac
}

# Prints the command for compose files, if there is one.
compose() {
    if docker compose version >/dev/null 2>&1; then
        echo docker compose
    elif docker-compose version >/dev/null 2>&1; then
        echo docker-compose
    fi
}

# Without --install: says what is missing, and stops.
check() {
    local programs packages_line
    programs=$(missing_programs)
    [ -n "$programs" ] || return 0
    packages_line=$(missing_packages | sort -u | paste -sd ' ' -)
    {
        echo "tests/run.sh: these are missing:"
        sed 's/^/  /' <<<"$programs"
        if [ -n "$packages_line" ] && [ -n "$manager" ]; then
            echo "Install the packages, or run tests/run.sh --install, which does it:"
            [ "$manager" != apt-get ] || echo "  ${sudo:+$sudo }apt-get update"
            echo "  $(install_command) $packages_line"
        elif [ -n "$packages_line" ]; then
            echo "No known package manager (apt-get, dnf, apk, brew): install them yourself."
        fi
    } >&2
    return 1
}

# With --install: installs all packages that are missing. A package that cannot be
# installed fails the stage that needs it.
install_missing() {
    local package
    [ -n "$(missing_packages)" ] && [ -n "$manager" ] || return 0
    # shellcheck disable=SC2086
    [ "$manager" != apt-get ] || $sudo apt-get update -q >&2 || true
    for package in $(missing_packages | sort -u); do
        echo "tests/run.sh: installing $package" >&2
        $(install_command) "$package" >&2 || true
    done
    hash -r
}

# Fails if one of these programs is missing.
need() {
    local program
    for program in "$@"; do
        type -P "$program" >/dev/null || {
            echo "tests/run.sh: $program is missing and could not be installed: install it" \
                "and run this again" >&2
            return 1
        }
    done
}

# The tests start their own redis-server processes on free ports (Redis 6.2 or later),
# stop and continue processes with kill, use script as a terminal, and read certificates
# with openssl, as other TLS stacks do.
workspace() {
    need redis-server kill script openssl
    # More than the cores of a small machine, because the tests mostly wait.
    local threads
    threads=$(nproc 2>/dev/null || echo 4)
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((threads > 4 ? threads : 4))}
    cargo test --workspace --all-features --no-fail-fast "$@"
}

# Ten million inputs for each decoder. libFuzzer is C++. A target folder of its own: cargo
# locks the one that the tests are built in.
fuzzed() {
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz fuzz/run.sh
}

# The tests of a build without the feature qlog. With --workspace, because nearly all of
# that is built already.
without_qlog() {
    cargo test --workspace --test qlog
}

# A gigabyte through the release build. Without LTO, which costs more time than it saves
# here.
gigabyte() {
    CARGO_PROFILE_RELEASE_LTO=off cargo test --release --features cli --test suite -- \
        cli_bulk:: --nocapture
}

# Clouds of network namespaces, with a router and its firewall between them. Only the
# tests run as root, not the compiler.
clouds() {
    need ip iptables sysctl
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(--config "target.'cfg(unix)'.runner = 'sudo -n -E'")
    cargo ${as_root[@]+"${as_root[@]}"} test --workspace --all-features --test routed -- \
        --ignored --nocapture
}

# The page of a trace in a browser without a window, and its packets as Wireshark reads them.
# With TRACE_SCREENSHOTS=folder, pictures of the page are left there.
pictures() {
    need "${browser:-chromium}" tshark
    cargo test --workspace --all-features --test suite -- --ignored trace_show::in_
}

# The environment of docker-compose.yml, intact and broken; the examples with real programs; and, on
# Linux, the same environment on two Docker engines, which are started as root.
containers() {
    docker info >/dev/null 2>&1 || {
        echo "tests/run.sh: no Docker engine answers: start one and run this again" >&2
        exit 1
    }
    local compose
    compose=$(compose)
    [ -n "$compose" ] || {
        echo "tests/run.sh: neither docker compose nor docker-compose is installed" >&2
        exit 1
    }
    tests/base-images.sh $install
    $compose build
    # On top of the image that is built now.
    local example
    for example in etcd postgres redis-sentinel; do
        $compose -f "examples/$example/docker-compose.yml" build
    done
    cargo test --workspace --all-features --test compose -- --ignored --nocapture --test-threads 4
}

# As users run it, except for the target folder.
replicated_store() {
    cd examples/raft-kv
    cargo test --locked --no-fail-fast -- --include-ignored --nocapture
}

services() {
    cd examples/adapters
    cargo test --locked --no-fail-fast
}

# One minute; README.md shows ten. What its judge excuses has tests.
soak() {
    cargo test --workspace --all-features --example soak
    CARGO_PROFILE_RELEASE_LTO=off \
        cargo run --release --example soak -- --seconds 60 --seed "${SOAK_SEED:-7}"
}

if [ -n "$install" ]; then install_missing; else check; fi
stage "a compiler for the fuzzer" need "${CXX:-c++}"
# In the background: the tests mostly wait.
background "fuzzing" fuzzed
stage "tests" workspace "$@"
stage "tests without the feature qlog" without_qlog
stage "other servers than Redis" tests/other-redis.sh
stage "a gigabyte between two processes" gigabyte
[ "$(uname)" != Linux ] || stage "traces in a browser and in Wireshark" pictures
[ "$(uname)" != Linux ] || stage "clouds, firewalls, packet sizes" clouds
stage "containers" containers
stage "examples/raft-kv: a replicated store, its leader cut off" replicated_store
stage "examples/adapters: services of axum, tonic and others" services
wait_background
[ "$(uname)" != Linux ] || stage "a minute of random faults" soak
summary
echo "== all tests passed"
