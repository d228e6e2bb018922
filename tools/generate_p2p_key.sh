#!/bin/sh
# Makes identity/p2p.key in the current folder, where there is none, and prints its peer id, for .env.
set -eu
case "${1:-}" in
  -h | --help) sed -n '2s/^# //p' "$0"; exit 0 ;;
esac
exec sh "$(dirname "$(readlink -f "$0")")/run_corelay.sh" keygen --out "${1:-identity}"
