#!/bin/sh
# Publishes to a node's sidecar, or prints what arrives there:
#   p2p_client.sh localhost:33221 subscribe TOPIC
#   p2p_client.sh localhost:33222 publish TOPIC MESSAGE
set -eu
usage() {
  sed -n '2,4s/^# //p' "$0" >&2
  exit 2
}
corelay() { exec sh "$(dirname "$(readlink -f "$0")")/run_corelay.sh" "$@"; }

[ $# -ge 3 ] || usage
case "$2" in
  subscribe) corelay subscribe --addr "$1" --topic "$3" ;;
  publish)
    [ $# -ge 4 ] || usage
    corelay publish --addr "$1" --topic "$3" --message "$4"
    ;;
  *) usage ;;
esac
