#!/bin/sh
# Runs psql at whichever server takes writes; looks for one until 60 s are over. libpq's list of hosts is not
# enough: it stays with a host that has accepted a connection and then resets it, which is how a forward
# reports a failed dial.
set -eu
until=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$until" ]; do
    for host in alpha beta; do
        at="host=$host target_session_attrs=read-write connect_timeout=2"
        if psql "$at" -c "select" >/dev/null 2>&1; then exec psql "$at" "$@"; fi
    done
    sleep 1
done
echo "psql-rw: no server has taken writes for 60 s" >&2
exit 1
