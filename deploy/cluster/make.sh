#!/bin/sh
# Makes a cluster of the servers that it is given as host:port: half become primaries, each with one replica, which is on
# another machine where the addresses allow it.
# It waits until all of them answer. Where the cluster is made already it changes nothing, so it may run at every start.
set -eu

left=$#
while [ "$left" -gt 0 ]; do
  host=${1%:*} port=${1##*:}
  until redis-cli -h "$host" -p "$port" ping 2>/dev/null | grep -q PONG; do sleep 1; done
  # Servers meet by address: CLUSTER MEET takes no name.
  address=$(getent ahostsv4 "$host" | head -n 1 | cut -d ' ' -f 1)
  shift
  set -- "$@" "$address:$port"
  left=$((left - 1))
done

if redis-cli -h "${1%:*}" -p "${1##*:}" cluster info | grep -q cluster_slots_assigned:16384; then
  echo 'the cluster is made already'
  exit 0
fi
exec redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes
