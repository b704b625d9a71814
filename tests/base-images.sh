#!/usr/bin/env bash
# Sees to it that the base images of the Dockerfiles and compose files are there,
# so that those run unchanged: pulls them, and where nothing can be pulled makes
# stand-ins under the same tags, of a minimal Debian and this machine's Rust. What
# is there already stays, but for stand-ins of other crates than are locked now;
# `docker rmi` removes them, and the next pull gets the real ones.
#
# Owns nothing but images with these tags, and a folder while it works.
set -euo pipefail
cd "$(dirname "$0")/.."

rust=rust:1-slim-bookworm
redis=redis:7-bookworm
# Their crates are in the stand-in for Rust, as its builds may reach no registry.
manifests=(Cargo.toml examples/raft-kv/Cargo.toml)

# What a stand-in is made for, kept in a label.
locked=$(cat Cargo.lock examples/raft-kv/Cargo.lock | sha256sum | cut -c1-16)

have() {
    local labels
    labels=$(docker image inspect -f '{{json .Config.Labels}}' "$1" 2>/dev/null) || return
    [[ $labels != *virtnet.stand-in* || $labels == *$locked* ]]
}

missing=()
for image in "$rust" "$redis"; do
    have "$image" && continue
    timeout 300 docker pull --quiet "$image" && continue
    missing+=("$image")
done
[ ${#missing[@]} = 0 ] && exit
echo "base-images.sh: ${missing[*]} can't be pulled, making stand-ins" >&2
[ "$(id -u)" = 0 ] || {
    echo "base-images.sh: that needs root; or pull them, and run this again" >&2
    exit 1
}

type -P debootstrap >/dev/null || {
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends debootstrap >&2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# One Debian serves both: a C compiler for crates, redis-server, and certificates.
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
