#!/bin/sh
# Prints the Debian packages with the shared libraries that programs need: runtime_packages.sh PROGRAM...
set -eu
[ $# -ge 1 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
echo ca-certificates # for gateways that fetch an issuer's keys
ldd "$@" | awk '$3 ~ "^/" { print $3 }' | sort -u | while read -r library; do
  # What dpkg knows a file as depends on whether its package was made before /lib became a link.
  for path in "$library" "/usr$library" "${library#/usr}" "$(readlink -f "$library")"; do
    if package="$(dpkg-query -S "$path" 2>/dev/null)"; then
      printf '%s\n' "${package%%:*}"
      continue 2
    fi
  done
  echo "runtime_packages: no package has $library" >&2
  exit 1
done | sort -u
