#!/usr/bin/env bash
# Builds softcuda and its cuBLAS and runs test.cpp against them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../../../target/softcuda}
"$here/build.sh" "$out"
"${CXX:-g++}" -std=c++17 -O1 -Wall -Wextra "$here/test.cpp" -o "$out/test" -ldl
# libcublas.so.12 finds the driver by its path.
LD_LIBRARY_PATH=$out "$out/test" "$out/libcuda.so.1" "$out/libcublas.so.12"
