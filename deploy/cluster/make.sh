#!/bin/sh
# Makes a cluster of the servers that it is given as host:port: half become primaries, each with one replica, which is on
# another machine where the addresses allow it.
# It waits until all of them answer, and gives up on one that is not there after WAIT_S seconds (300). Where the cluster is made already it
# changes nothing, so it may run at every start.
# REDISCLI_ARGS are words for each redis-cli, for servers with TLS: REDISCLI_ARGS='--tls --cacert /tls/ca.crt' sh make.sh HOST:PORT…
set -eu

# Waits for one server, and says once for which.
wait_for() {
  host=${1%:*} port=${1##*:} end=$(($(date +%s) + ${WAIT_S:-300})) said=
  until answer=$(timeout 5 redis-cli ${REDISCLI_ARGS:-} -h "$host" -p "$port" ping 2>&1) && [ "$answer" = PONG ]; do
    answer=${answer:-no answer within 5 s}
    [ -n "$said" ] || echo "waiting for $1: $answer"
    said=yes
    if [ "$(date +%s)" -ge "$end" ]; then
      echo "gave up on $1: $answer" >&2
      echo 'look at the log of that server, at its port and bind, at what stands between it and here, at REDISCLI_AUTH where it has a password, and at REDISCLI_ARGS where it takes TLS' >&2
      exit 1
    fi
    sleep 1
  done
}

left=$#
while [ "$left" -gt 0 ]; do
  wait_for "$1"
  # Servers meet by address: CLUSTER MEET takes no name.
  address=$(getent ahostsv4 "$host" | head -n 1 | cut -d ' ' -f 1)
  shift
  set -- "$@" "$address:$port"
  left=$((left - 1))
done

if redis-cli ${REDISCLI_ARGS:-} -h "${1%:*}" -p "${1##*:}" cluster info | grep -q cluster_slots_assigned:16384; then
  echo 'the cluster is made already'
  exit 0
fi
exec redis-cli ${REDISCLI_ARGS:-} --cluster create "$@" --cluster-replicas 1 --cluster-yes
