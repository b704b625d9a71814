#!/usr/bin/env bash
# Two machines in one: two Docker engines, each in a network namespace, joined by a veth pair.
#
#   tests/compose/two-machines.sh FOLDER    as root: prints "ready", and ends when its stdin does
#
# Machine 1 has the address 10.87.0.1 and the socket FOLDER/1.sock, machine 2 10.87.0.2 and FOLDER/2.sock;
# FOLDER/1.log and FOLDER/2.log are the engines' logs.
#
# Owns these files. All else is in namespaces, which end with this script, whatever ends it: engines,
# containers, images, links. Only empty control groups stay if it is killed. Never touches the machine's
# own engine and network.
set -euo pipefail

fail() {
    echo "two-machines.sh: $*" >&2
    exit 1
}

# One of the machines, in a network namespace: becomes its engine.
machine() {
    local folder=$1 group=$2 number=$3
    mount -t tmpfs tmpfs /run
    echo "machine$number" >/proc/sys/kernel/hostname
    echo '{}' >/run/daemon.json
    # An empty /run also hides the machine's containerd, so the engine starts its own.
    exec dockerd --config-file /run/daemon.json --data-root /run/data --exec-root /run/exec \
        --pidfile /run/pid --host "unix://$folder/$number.sock" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$group"
}

# The first process of the namespaces: they end with it.
machines() {
    local folder=$1 group=$2 number engine look
    # For ip's names.
    mount -t tmpfs tmpfs /run
    ip link add overlay type vxlan id 1 dstport 4789 2>/dev/null ||
        fail "this kernel has no VXLAN, which overlay networks are made of"
    ip link del overlay
    # No bridge: a machine's rules for bridged packets would drop them.
    ip netns add 1
    ip netns add 2
    ip link add eth0 netns 1 type veth peer name eth0 netns 2
    for number in 1 2; do
        ip -n "$number" addr add "10.87.0.$number/24" dev eth0
        ip -n "$number" link set dev lo up
        ip -n "$number" link set dev eth0 up
        nsenter --net="/run/netns/$number" unshare --mount --uts \
            bash "$0" machine "$folder" "$group" "$number" \
            </dev/null >"$folder/$number.log" 2>&1 &
        engine=$!
        eval "engine_$number=$engine"
    done
    for number in 1 2; do
        engine=engine_$number
        for look in {1..300}; do
            ! docker -H "unix://$folder/$number.sock" version >/dev/null 2>&1 || break
            kill -0 "${!engine}" 2>/dev/null && [ "$look" != 300 ] || {
                tail -20 "$folder/$number.log" >&2
                fail "no Docker engine starts on machine $number"
            }
            sleep 0.1
        done
    done
    echo ready
    # Until stdin ends.
    read -r || true
}

case ${1-} in
machine | machines)
    "$@"
    exit
    ;;
esac

[ $# = 1 ] || fail "expected a folder"
[ "$(id -u)" = 0 ] || fail "namespaces and Docker engines need root"
for program in dockerd containerd ip unshare nsenter; do
    type -P "$program" >/dev/null || fail "$program is missing: two Docker engines need it"
done
folder=$(realpath "$1")
group=virtnet-machines-$$

code=0
unshare --net --mount --uts --pid --fork --kill-child --mount-proc \
    bash "$0" machines "$folder" "$group" || code=$?
# All processes have ended. Their control groups are in no namespace.
find /sys/fs/cgroup -depth -type d -path "*/$group*" -exec rmdir {} + 2>/dev/null || true
exit "$code"
