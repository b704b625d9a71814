#!/usr/bin/env bash
# Fuzzes virtnet's decoders, guided by coverage.
#
#   fuzz/run.sh                        every target, a bounded number of inputs: CI's
#   fuzz/run.sh --runs N [TARGET...]   the same, with another number for each decoder
#   fuzz/run.sh --seconds N TARGET     one target for so long; what it learned is kept
#   fuzz/run.sh --input FILE TARGET    one input
#
# Any stable compiler will do: the flags are those of cargo-fuzz without a sanitizer,
# which finds nothing where there is no unsafe code. libFuzzer needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

decoders=(entry addr member hostdata hello reply)
# A handshake takes as long as some twenty frames.
sequences=(acceptor dialer agreement)
runs=10000000 sequence_runs=500000

fail() {
    echo "fuzz/run.sh: $*" >&2
    exit 1
}

build() {
    type -P "${CXX:-c++}" >/dev/null || fail "no C++ compiler, and libFuzzer is built with one"
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # With a target named, these flags are not for build scripts and macros.
    local flags="-Cpasses=sancov-module -Ccodegen-units=1" flag
    for flag in sanitizer-coverage-level=4 sanitizer-coverage-inline-8bit-counters \
        sanitizer-coverage-pc-table sanitizer-coverage-trace-compares \
        simplifycfg-branch-fold-threshold=0; do
        flags+=" -Cllvm-args=-$flag"
    done
    local folder=${CARGO_TARGET_DIR:-$PWD/target}
    RUSTFLAGS="${RUSTFLAGS-} $flags" cargo build --quiet --locked --release --target "$host" \
        --manifest-path fuzz/Cargo.toml --target-dir "$folder" ||
        fail "the targets can't be built: nothing was fuzzed"
    export FUZZ_BINARIES=$folder/$host/release
}

# Runs a target: its name, then options of libFuzzer and folders. What it says goes to
# the file $log; a failure is shown with the input that makes it.
fuzz() {
    local target=$1 artifacts=fuzz/artifacts/$1 input
    shift
    mkdir -p "$artifacts"
    local options=(-timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
    [ ! -f "fuzz/dict/$target" ] || options+=(-dict="fuzz/dict/$target")
    touch "$log.start"
    if ! "$FUZZ_BINARIES/$target" "${options[@]}" -artifact_prefix="$artifacts/" "$@" \
        >>"$log" 2>&1; then
        {
            echo "fuzz/run.sh: $target fails after $(executed) inputs:"
            grep -A4 'panicked at\|ERROR: libFuzzer' "$log" || tail -20 "$log"
            find "$artifacts" -type f -newer "$log.start" | while read -r input; do
                echo "its input, in hex (fuzz/run.sh --input $input $target):"
                od -An -v -tx1 "$input" | tr -d ' \n'
                echo
            done
        } >&2
        exit 1
    fi
    # Without coverage it would be inputs at random.
    grep -q 'inline 8-bit counters' "$log" || fail "$target was built without coverage"
}

executed() {
    awk '/^stat::number_of_executed_units/ { sum += $2 } END { print sum + 0 }' "$log"
}

# The last line of libFuzzer's that says how much of the code was reached.
coverage() {
    sed -n 's/.*\(cov: [0-9]* ft: [0-9]* corp: [0-9]*\).*/\1/p' "$log" | tail -1
}

# One target, bounded: nearly all inputs short, as most of what can be said is short,
# and some long, for the bounds on lengths.
bounded() {
    local target=$1 runs=$2 spent
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    local log=$scratch/log corpus=$scratch/corpus
    mkdir "$corpus"
    [ ! -d "fuzz/seeds/$target" ] || cp "fuzz/seeds/$target"/* "$corpus"
    fuzz "$target" -runs="$runs" -max_len=64 "$corpus"
    fuzz "$target" -runs=$((runs / 50)) -max_len=1024 -len_control=0 "$corpus"
    times >"$scratch/times"
    spent=$(awk 'NR == 2 { print $1 }' "$scratch/times")
    echo "$target: $(executed) inputs in $spent of one core, $(coverage)"
}

case ${1-} in
--bounded) # what every target runs as, below
    bounded "$2" "$3"
    ;;
--seconds)
    [ $# = 3 ] || fail "--seconds N TARGET"
    build
    log=$(mktemp)
    mkdir -p "fuzz/corpus/$3"
    seeds=()
    [ ! -d "fuzz/seeds/$3" ] || seeds=("fuzz/seeds/$3")
    fuzz "$3" -max_total_time="$2" -max_len=1024 "fuzz/corpus/$3" ${seeds[@]+"${seeds[@]}"}
    echo "$3: $(executed) inputs, $(coverage)"
    ;;
--input)
    [ $# = 3 ] || fail "--input FILE TARGET"
    build
    exec "$FUZZ_BINARIES/$3" "$2"
    ;;
*)
    if [ "${1-}" = --runs ]; then
        runs=$2 sequence_runs=$((runs / 20))
        shift 2
    fi
    fuzz/seeds.sh --check
    build
    # The slowest first, so that none is left to run alone.
    for target in "${sequences[@]}" "${decoders[@]}"; do
        case " ${*:-$target} " in *" $target "*) ;; *) continue ;; esac
        count=$runs
        case " ${sequences[*]} " in *" $target "*) count=$sequence_runs ;; esac
        echo "$target $count"
    done | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 "$0" --bounded ||
        fail "a target failed: what it was given is above"
    ;;
esac
