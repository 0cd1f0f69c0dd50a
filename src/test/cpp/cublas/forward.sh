#!/usr/bin/env bash
# Builds a libcublas.so.12 that forwards to libcublas.so.13: forward.sh NATIVE FOLDER. NATIVE is JCublas's own library, which says what it asks for.
# The names carry the version of the library that they stand in for, and the target is found when it is loaded: nothing is built on a GPU machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
native=$1 out=$2
for tool in readelf "${CC:-gcc}"; do
  command -v "$tool" >/dev/null || { echo "forward.sh needs $tool: install binutils and gcc" >&2; exit 1; }
done
mkdir -p "$out"
readelf -W --dyn-syms "$native" | sed -n 's/.* UND \(cublas[A-Za-z0-9_]*\)@libcublas\.so\.12.*/\1/p' | sort -u |
  awk '{ printf "FORWARD(%d, %s)\n", NR - 1, $1 }' >"$out/names.h"
[ -s "$out/names.h" ] || { echo "forward.sh: $native asks for no function of libcublas.so.12" >&2; exit 1; }
echo 'libcublas.so.12 { global: cublas*; local: *; };' >"$out/names.map"
"${CC:-gcc}" -O2 -Wall -Wextra -Werror -fPIC -shared -I"$out" -Wl,-soname,libcublas.so.12 -Wl,-z,defs -Wl,--version-script="$out/names.map" \
  "$here/forward.c" -o "$out/libcublas.so.12" -ldl
