#!/bin/sh
# Builds the benchmarks and runs them. `benches/run.sh --help` lists the options;
# `--no-iroh`, which comes first, builds without the heaviest of the peers.
set -eu
BENCHES_DIR=$(dirname "$0")
export BENCHES_DIR
features=
if [ "${1-}" = --no-iroh ]; then
    features=--no-default-features
    shift
fi
# 10,000 TCP connections have 20,000 descriptors, where both ends are here.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -H -n)"
# shellcheck disable=SC2086 # none, or one word
exec cargo run --quiet --release --locked --manifest-path "$BENCHES_DIR/Cargo.toml" $features -- "$@"
