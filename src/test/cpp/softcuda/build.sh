#!/usr/bin/env bash
# Builds libcuda.so.1, the GPU in software, into a folder (default: target/softcuda). Says nothing when it is up to date.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../../../target/softcuda}
command -v "${CXX:-g++}" >/dev/null || { echo "softcuda needs a C++17 compiler: install g++ (or set CXX)" >&2; exit 1; }
mkdir -p "$out"
library=$out/libcuda.so.1
if [ -e "$library" ] && [ -z "$(find "$here" -newer "$library" \( -name '*.cpp' -o -name '*.h' -o -name 'build.sh' \))" ]; then exit 0; fi
objects=()
running=()
for source in memory ptx instructions interpreter control driver missing; do
  object=$out/$source.o
  objects+=("$object")
  # Exact to the last bit: no contraction, and never fast-math.
  "${CXX:-g++}" -std=c++17 -O2 -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -Wall -Wextra -Werror -c "$here/$source.cpp" -o "$object" &
  running+=($!)
done
for job in "${running[@]}"; do wait "$job"; done
"${CXX:-g++}" -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs "${objects[@]}" -o "$library.new" -lpthread
mv "$library.new" "$library"
