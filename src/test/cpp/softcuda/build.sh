#!/usr/bin/env bash
# Builds libcuda.so.1, the GPU in software, and libcublas.so.12 over it into a folder (default: target/softcuda). Says nothing when they are up to
# date.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../../../target/softcuda}
command -v "${CXX:-g++}" >/dev/null || { echo "softcuda needs a C++17 compiler: install g++ (or set CXX)" >&2; exit 1; }
mkdir -p "$out"
cuda=$out/libcuda.so.1
cublas=$out/libcublas.so.12 # the last to be made
if [ -e "$cublas" ] && [ -z "$(find "$here" -newer "$cublas" \( -name '*.cpp' -o -name '*.h' -o -name 'build.sh' \))" ]; then exit 0; fi
running=()
compile() { # source, level of optimisation
  # Exact to the last bit: no contraction, and never fast-math.
  "${CXX:-g++}" -std=c++17 "$2" -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -Wall -Wextra -Werror -c "$here/$1.cpp" -o "$out/$1.o" &
  running+=($!)
}
objects=()
for source in memory ptx instructions interpreter control driver missing; do
  objects+=("$out/$source.o")
  compile $source -O2
done
compile cublas -O3 # loops over arrays, to be vectorised
for job in "${running[@]}"; do wait "$job"; done
"${CXX:-g++}" -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs "${objects[@]}" -o "$cuda.new" -lpthread
mv "$cuda.new" "$cuda"
# JCublas asks for each name with this version.
echo 'libcublas.so.12 { global: cublas*; local: *; };' >"$out/cublas.map"
"${CXX:-g++}" -shared -Wl,-soname,libcublas.so.12 -Wl,-z,defs -Wl,--version-script="$out/cublas.map" "$out/cublas.o" "$cuda" -o "$cublas.new"
mv "$cublas.new" "$cublas"
