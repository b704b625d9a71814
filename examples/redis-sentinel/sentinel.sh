#!/bin/sh
# Starts a Sentinel that listens at the address of its own name, its argument, and that watches the group
# "main", whose first primary is alpha. Owns /data, as Sentinel writes its configuration.
set -eu
cat >/data/sentinel.conf <<CONF
port 26379
bind $1
dir /data
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $1
sentinel announce-port 26379
sentinel monitor main alpha 6379 2
sentinel down-after-milliseconds main 2000
sentinel failover-timeout main 10000
CONF
exec redis-sentinel /data/sentinel.conf
