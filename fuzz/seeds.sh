#!/usr/bin/env bash
# Writes the seeds that are test vectors of docs/protocol.md: where the fuzzer begins.
# With --check it only says whether they are what the page has.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=fuzz/seeds
if [ "${1-}" = --check ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

# The vectors, as lines `name: digits`.
vectors=$(awk '/^```text vectors$/ { on = 1; next } /^```$/ { on = 0 } on && !/^#/' \
    docs/protocol.md)

# A target, then the pattern of its vectors' names.
seed() {
    local target=$1 pattern=$2 name digits found=
    mkdir -p "$folder/$target"
    while IFS=': ' read -r name digits; do
        [[ $name =~ ^($pattern)$ ]] || continue
        printf '%b' "$(sed 's/../\\x&/g' <<<"$digits")" >"$folder/$target/$name"
        found=yes
    done <<<"$vectors"
    [ "$found" ] || {
        echo "fuzz/seeds.sh: the page has no vector $pattern" >&2
        exit 1
    }
}

seed hello hello
seed reply 'waiting|accepted|refused-.*'
seed hostdata 'hostdata-.*'
seed entry redis-value
# The grammars of a host's key and of the page's names are the members' and the addresses'.
seed member 'redis-key-encoded|network|acceptor'
seed addr 'dns-name-.*|hostdata-.*|acceptor'

[ "${1-}" != --check ] || for seed in "$folder"/*/*; do
    cmp -s "$seed" "fuzz/seeds/${seed#"$folder/"}" || {
        echo "fuzz/seeds.sh: the page has another ${seed#"$folder/"}: run fuzz/seeds.sh" >&2
        exit 1
    }
done
