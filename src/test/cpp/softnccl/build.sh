#!/usr/bin/env bash
# Builds libnccl.so.2, NCCL in software over softcuda, into softcuda's folder (default: target/softcuda), which must be built. Says nothing when it is up
# to date.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../../../target/softcuda}
nccl=$out/libnccl.so.2
if [ -e "$nccl" ] && [ -z "$(find "$here" -newer "$nccl" \( -name '*.cpp' -o -name 'build.sh' \))" ]; then exit 0; fi
"${CXX:-g++}" -std=c++17 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -shared -Wl,-soname,libnccl.so.2 -Wl,-z,defs "$here/nccl.cpp" "$out/libcuda.so.1" \
  -o "$nccl.new" -lpthread
mv "$nccl.new" "$nccl"
