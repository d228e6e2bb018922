#!/bin/sh
# Runs corelay wherever it is: named by CORELAY, built in this checkout, on the PATH, or in the container image. The
# scripts beside this one, which stand for the published setup guide's, go through it.
set -eu
root="$(dirname "$(dirname "$(readlink -f "$0")")")"

for program in "${CORELAY:-}" "$root/build/dev/bin/corelay" "$root/build/release/bin/corelay" \
  "$(command -v corelay || true)"; do
  if [ -n "$program" ] && [ -x "$program" ]; then
    exec "$program" "$@"
  fi
done
for engine in docker podman; do
  if command -v "$engine" >/dev/null && "$engine" image inspect "${CORELAY_IMAGE:-corelay}" >/dev/null 2>&1; then
    exec "$engine" run --rm -i --network host --user "$(id -u):$(id -g)" -v "$PWD:/here" -w /here \
      "${CORELAY_IMAGE:-corelay}" corelay "$@"
  fi
done
echo "no corelay: build it (tools/up does), or its image (docker build -t corelay .)" >&2
exit 1
