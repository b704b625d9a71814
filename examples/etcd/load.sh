#!/bin/sh
# Writes and reads the key "register" at each of the members that the arguments name, all at the same
# time, until stdin ends. Each value is written once. Prints a line for each operation that has ended:
#
#   MEMBER write VALUE BEGAN ENDED ok|unknown      unknown: an error, so it may have happened or not
#   MEMBER read VALUE BEGAN ENDED ok
#
# Times are seconds since the machine was started. Owns only that key, and the folder /tmp.
set -u
stop=/tmp/stop
rm -f "$stop"

now() { read -r uptime _ </proc/uptime; }

at_member() {
    export ETCDCTL_ENDPOINTS="http://$1:2379"
    number=0
    until [ -e "$stop" ]; do
        number=$((number + 1))
        now && began=$uptime
        outcome=ok
        etcdctl --command-timeout 2s put register "$1-$number" \
            >/dev/null 2>&1 || outcome=unknown
        now && echo "$1 write $1-$number $began $uptime $outcome"

        now && began=$uptime
        value=$(etcdctl --command-timeout 2s get register \
            --print-value-only 2>/dev/null) || continue
        now && echo "$1 read $value $began $uptime ok"
    done
}

for member; do at_member "$member" & done
cat >/dev/null
: >"$stop"
wait
