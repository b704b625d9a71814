# shellcheck shell=bash
# Stages: how a long run goes on past what fails, and says at its end what did.
#
# Owns the running of commands one after another and beside each other, their times,
# and the sum of it. Never decides what is run: tests/run.sh and .ci/run source this.
#
#   stage NAME COMMAND...    runs it, and goes on whatever becomes of it
#   beside NAME COMMAND...   starts it in the background, where it gives way to others
#   arrived                  waits for what `beside` started, and shows what it said
#   summed_up                says what became of each; fails if one of them failed
#
# A command may be a function: it runs in a shell of its own with `set -e`, so whatever
# fails in it, or is missing, ends that stage only.

stages_sums=()
stages_failed=0
# What runs in the background: one at a time of each script.
stages_aside='' stages_pid='' stages_log=''

# Whatever is still running goes with this shell, and all that it has started.
stages_end() {
    [ -z "$stages_pid" ] || kill -- "-$stages_pid" 2>/dev/null || true
    [ -z "$stages_log" ] || rm -f "$stages_log"
}
trap stages_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Notes what became of a stage: its name, its exit code, its seconds.
stages_note() {
    local name=$1 code=$2 spent=$3
    if [ "$code" = 0 ]; then
        stages_sums+=("passed  $name ($spent)")
        return
    fi
    stages_sums+=("FAILED  $name (exit code $code, $spent)")
    stages_failed=$((stages_failed + 1))
    echo "== FAILED: $name" >&2
}

stage() {
    local name=$1 begin=$SECONDS code
    shift
    echo "== $name"
    # Not in an `if`, nor before `||`: there `set -e` would have no effect.
    set +e
    (
        trap - EXIT INT TERM
        set -e
        "$@"
    )
    code=$?
    set -e
    stages_note "$name" "$code" "$((SECONDS - begin)) s"
}

beside() {
    stages_aside=$1
    shift
    stages_log=$(mktemp)
    # A process group of its own, so that nothing of it is left.
    set -m
    (
        trap - EXIT INT TERM
        set -e
        "$@"
        echo "done $SECONDS s after this script began"
    ) </dev/null >"$stages_log" 2>&1 &
    stages_pid=$!
    set +m
    renice -n 19 -g "$stages_pid" >/dev/null 2>&1 || true
}

arrived() {
    local begin=$SECONDS code=0
    echo "== $stages_aside"
    wait "$stages_pid" || code=$?
    stages_pid=''
    cat "$stages_log"
    stages_note "$stages_aside" "$code" "waited for $((SECONDS - begin)) s"
}

summed_up() {
    echo "== summed up"
    printf '%s\n' "${stages_sums[@]}"
    [ "$stages_failed" = 0 ] || {
        echo "$stages_failed of ${#stages_sums[@]} stages failed" >&2
        return 1
    }
}

# Where cargo builds, for all projects here: an absolute path, as they have other folders.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
[ "${CARGO_TARGET_DIR#/}" != "$CARGO_TARGET_DIR" ] || CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR
export CARGO_TARGET_DIR
# As in the workspace's own profile: so that what is built for it serves the projects of
# their own as well, wherever they want the same of it.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
