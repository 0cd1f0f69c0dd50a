#!/usr/bin/env bash
# Builds softcuda and runs test.cpp against it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../../../target/softcuda}
"$here/build.sh" "$out"
"${CXX:-g++}" -std=c++17 -O1 -Wall -Wextra "$here/test.cpp" -o "$out/test" -ldl
"$out/test" "$out/libcuda.so.1"
