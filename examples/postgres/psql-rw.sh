#!/bin/sh
# Runs psql at whichever server takes writes; waits for one, 60 s at most. libpq's list of hosts is not
# enough: it stays with a host that has accepted a connection and then resets it, which is how a forward
# reports a failed dial.
set -eu
tries=0
while [ "$tries" -lt 60 ]; do
    for host in alpha beta; do
        at="host=$host target_session_attrs=read-write connect_timeout=2"
        if psql "$at" -c "select" >/dev/null 2>&1; then exec psql "$at" "$@"; fi
    done
    tries=$((tries + 1))
    sleep 1
done
echo "psql-rw: no server takes writes" >&2
exit 1
