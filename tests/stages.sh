# shellcheck shell=bash
# Stages of a long run: a failed stage does not stop the others, and a summary at the end
# lists the result of each.
#
# Owns how commands run, one after another or in the background, and their times. Never
# decides which: tests/run.sh and .ci/run source this.
#
#   stage NAME COMMAND...         runs the command, and continues if it fails
#   background NAME COMMAND...    starts the command in the background, with low priority
#   wait_background               waits for it, and prints its output
#   summary                       prints the result of each; fails if a stage failed
#
# A command may be a function: it runs in a subshell with `set -e`, so a failure ends only
# that stage.

stages_results=()
stages_failed=0
# The stage in the background: at most one per script.
stages_background='' stages_pid='' stages_log=''

# Ends the background stage, and all that it has started, with this shell.
stages_end() {
    [ -z "$stages_pid" ] || kill -- "-$stages_pid" 2>/dev/null || true
    [ -z "$stages_log" ] || rm -f "$stages_log"
}
trap stages_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Records a stage: its name, exit code and time.
stages_record() {
    local name=$1 code=$2 spent=$3
    if [ "$code" = 0 ]; then
        stages_results+=("passed  $name ($spent)")
        return
    fi
    stages_results+=("FAILED  $name (exit code $code, $spent)")
    stages_failed=$((stages_failed + 1))
    echo "== FAILED: $name" >&2
}

stage() {
    local name=$1 begin=$SECONDS code
    shift
    echo "== $name"
    # Not in an `if` or before `||`, where `set -e` has no effect.
    set +e
    (
        trap - EXIT INT TERM
        set -e
        "$@"
    )
    code=$?
    set -e
    stages_record "$name" "$code" "$((SECONDS - begin)) s"
}

background() {
    stages_background=$1
    shift
    stages_log=$(mktemp)
    # A process group of its own, so that all of it can be killed.
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

wait_background() {
    local begin=$SECONDS code=0
    echo "== $stages_background"
    wait "$stages_pid" || code=$?
    stages_pid=''
    cat "$stages_log"
    stages_record "$stages_background" "$code" "waited for $((SECONDS - begin)) s"
}

summary() {
    echo "== summary"
    printf '%s\n' "${stages_results[@]}"
    [ "$stages_failed" = 0 ] || {
        echo "$stages_failed of ${#stages_results[@]} stages failed" >&2
        return 1
    }
}

# The target folder of all projects here: an absolute path, as they have other folders.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
[ "${CARGO_TARGET_DIR#/}" != "$CARGO_TARGET_DIR" ] || CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR
export CARGO_TARGET_DIR
# As in the workspace's own profile, so that the other projects can use what is built for
# it.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
