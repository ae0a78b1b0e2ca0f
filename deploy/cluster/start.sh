#!/bin/sh
# Starts a server of the cluster in a pod, whose address is another one after each restart: the server announces the one it has
# now, and by name to clients. A server that was a member meets the others again where they are now, by their names, which
# are its arguments: when all pods came back at once, no address that they remember is right.
set -eu
conf=${REDIS_CONF:-/etc/redis/redis.conf} data=${REDIS_DATA:-/data} port=${REDIS_PORT:-6379}

meet() {
  until redis-cli -h "$POD_IP" -p "$port" ping 2>/dev/null | grep -q PONG; do sleep 1; done
  for host in "$@"; do
    until address=$(getent ahostsv4 "$host" | head -n 1 | cut -d ' ' -f 1) && [ -n "$address" ]; do sleep 1; done
    redis-cli -h "$POD_IP" -p "$port" cluster meet "$address" "$port" "${REDIS_BUS:-16379}"
  done
}

# A line of nodes.conf is a server: one line is this server alone, before the cluster is made.
if [ -f "$data/nodes.conf" ] && [ "$(grep -c @ "$data/nodes.conf")" -gt 1 ]; then meet "$@" & fi
exec redis-server "$conf" --dir "$data" --cluster-announce-ip "$POD_IP" --cluster-announce-hostname "$POD_HOST" \
  --cluster-preferred-endpoint-type hostname
