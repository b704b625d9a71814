#!/usr/bin/env bash
# Provides the base images of the Dockerfiles and compose files: pulls them, or, if they
# cannot be pulled, makes stand-ins under the same tags from a minimal Debian and this
# machine's Rust. Keeps images that exist, except stand-ins with other crates than the
# lock files name now. `docker rmi` removes a stand-in; the next pull gets the real image.
#
#   tests/base-images.sh [--install]    with --install, installs debootstrap if a stand-in
#                                       needs it
#
# The stand-in for Debian has the packages of the examples, and no sources: `apt-get install`
# finds them installed, so that no build needs a network.
#
# Owns only images with these tags, and a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

rust=rust:1-slim-bookworm
redis=redis:7-bookworm
debian=debian:bookworm-slim
# What the Dockerfiles of the examples install.
examples=(etcd-server etcd-client redis-server redis-sentinel postgresql-15)
# The stand-in for Rust contains their crates: a build may have no network.
manifests=(Cargo.toml examples/raft-kv/Cargo.toml)

# Identifies the lock files and the packages; the label of a stand-in holds it.
locked=$({ cat Cargo.lock examples/raft-kv/Cargo.lock && echo "${examples[*]}"; } | sha256sum |
    cut -c1-16)

have() {
    local labels
    labels=$(docker image inspect -f '{{json .Config.Labels}}' "$1" 2>/dev/null) || return
    [[ $labels != *virtnet.stand-in* || $labels == *$locked* ]]
}

missing=()
for image in "$rust" "$redis" "$debian"; do
    have "$image" && continue
    timeout 300 docker pull --quiet "$image" && continue
    missing+=("$image")
done
[ ${#missing[@]} = 0 ] && exit
echo "base-images.sh: ${missing[*]} can't be pulled, making stand-ins" >&2
[ "$(id -u)" = 0 ] || {
    echo "base-images.sh: that needs root: pull the images yourself, or run this as root" >&2
    exit 1
}

type -P debootstrap >/dev/null || {
    [ "${1-}" = --install ] || {
        echo "base-images.sh: debootstrap is missing: apt-get install debootstrap, or run" \
            "this with --install" >&2
        exit 1
    }
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends debootstrap >&2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# One Debian serves all: a C compiler for crates, redis-server, and certificates.
debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates,redis-server \
    bookworm "$root" >"$work/log" 2>&1 || {
    tail -20 "$work/log" >&2
    exit 1
}
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | docker import --change "LABEL virtnet.stand-in=$locked" - "$redis" >/dev/null

# The toolchain without its documentation, and the crates of all lock files.
mkdir -p "$root/usr/local/cargo"
tar -C "$(rustc --print sysroot)" --exclude=./share/doc -c . | tar -C "$root/usr/local" -x
vendor=$root/usr/local/cargo/vendor
cargo vendor --quiet --locked --versioned-dirs --respect-source-config \
    --manifest-path "${manifests[0]}" $(printf -- '--sync %s ' "${manifests[@]:1}") \
    "$vendor" >/dev/null
cat >"$root/usr/local/cargo/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/local/cargo/vendor"
TOML
tar -C "$root" -c . | docker import --change "LABEL virtnet.stand-in=$locked" \
    --change 'ENV CARGO_HOME=/usr/local/cargo' \
    --change 'ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    - "$rust" >/dev/null

# The packages of the examples, instead of the toolchain. Nothing is started, and no database made.
rm -rf "$root"/usr/local/*
mkdir -p "$root"/usr/local/bin "$root"/etc/postgresql-common
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
chroot "$root" sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "$@"' sh "${examples[@]}" >"$work/log" 2>&1 || {
    tail -20 "$work/log" >&2
    exit 1
}
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
: >"$root/etc/apt/sources.list"
tar -C "$root" -c . | docker import --change "LABEL virtnet.stand-in=$locked" - "$debian" >/dev/null
