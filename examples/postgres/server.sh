#!/bin/sh
# Starts PostgreSQL, listening at the address of its own name, the first argument; as a standby of the
# second argument, if there is one. Owns /data, and keeps what it finds there.
set -eu
if [ ! -e /data/done ]; then
    rm -rf /data/pg
    if [ $# = 1 ]; then
        initdb --pgdata /data/pg --username postgres --auth trust --no-sync >/dev/null
    else
        # It fails until the primary is there.
        until pg_basebackup --pgdata /data/pg --host "$2" \
            --write-recovery-conf --checkpoint fast --no-sync; do
            rm -rf /data/pg
            sleep 0.5
        done
    fi
    : >/data/done
fi
exec postgres -D /data/pg -c listen_addresses="$1" \
    -c unix_socket_directories=/tmp -c wal_keep_size=512MB
