# Sourced by the other scripts: finds what they need, or installs it as root on a Debian-like system, or says how to get it.
# Needs: a JDK of version 17 or later, Maven, for the text in the PNG pictures one font, for the tests a C++ compiler (set_up c++),
# and for a bundle xz (set_up c++ xz).

set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

say() { echo "kudari: $*" >&2; }

# The version of a JDK's compiler, as a bare number; 0 where there is none.
jdk_version() {
  local javac=${JAVA_HOME:+$JAVA_HOME/bin/}javac
  { "$javac" -version 2>&1 || true; } | sed -n 's/^javac \([0-9]*\).*/\1/p' | grep . || echo 0
}

has_font() { command -v fc-list >/dev/null && [ -n "$(fc-list 2>/dev/null)" ]; }

# The newest of the JDKs that Debian and Ubuntu still carry and that this system has.
jdk_package() {
  local v
  for v in 21 17 25; do
    if apt-cache show "openjdk-$v-jdk-headless" >/dev/null 2>&1; then echo "openjdk-$v-jdk-headless"; return; fi
  done
  echo default-jdk-headless
}

set_up() {
  local jdk maven fonts cxx= xz=
  [ "$(jdk_version)" -ge 17 ] && jdk= || jdk=yes
  if [ -n "$jdk" ] && [ -n "${JAVA_HOME:-}" ]; then
    say "JAVA_HOME=$JAVA_HOME holds no JDK of version 17 or later: set it to one, or unset it"
    exit 1
  fi
  command -v mvn >/dev/null && maven= || maven=yes
  # Only Linux finds its fonts through fontconfig; without one the pictures fail, the rest does not.
  { [ "$(uname)" != Linux ] || has_font; } && fonts= || fonts=yes
  # The tests build the GPU in software, on the only platform it knows.
  if [[ " $* " == *" c++ "* ]] && [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v "${CXX:-g++}" >/dev/null; then cxx=yes; fi
  if [[ " $* " == *" xz "* ]] && ! command -v xz >/dev/null; then xz=yes; fi
  local needed=$jdk$maven$cxx$xz
  [ -z "$needed$fonts" ] && return

  if ! command -v apt-get >/dev/null; then
    [ -z "$jdk" ] || say "no JDK of version 17 or later (javac says $(jdk_version)): install one, from your system's packages or adoptium.net"
    [ -z "$maven" ] || say "no Maven (mvn): install it from your system's packages or maven.apache.org"
    [ -z "$cxx" ] || say "no C++ compiler (g++): install it from your system's packages, or set CXX"
    [ -z "$xz" ] || say "no xz: install it from your system's packages (xz-utils)"
    [ -z "$fonts" ] || say "no font: the PNG pictures need fontconfig and any font, such as DejaVu"
    [ -z "$needed" ] || exit 1
    return 0
  fi
  local packages=()
  if [ "$(id -u)" = 0 ]; then
    say "reading the list of packages"
    apt-get update -qq >&2 || say "the list of packages could not be read; going on with the old one"
  fi
  [ -z "$jdk" ] || packages+=("$(jdk_package)")
  [ -z "$maven" ] || packages+=(maven)
  [ -z "$cxx" ] || packages+=(g++)
  [ -z "$xz" ] || packages+=(xz-utils)
  [ -z "$fonts" ] || packages+=(fontconfig fonts-dejavu-core)
  if [ "$(id -u)" != 0 ]; then
    say "missing; to install: sudo apt-get install ${packages[*]}"
    [ -z "$needed" ] || exit 1
    return 0
  fi
  say "installing ${packages[*]}"
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2; then
    say "could not install ${packages[*]}, see above"
    [ -z "$needed" ] || exit 1
  fi
}

# Maven with plain output. From Java 23 the JVM would warn of what Maven's own libraries do.
maven() {
  local quiet=
  [ "$(jdk_version)" -lt 23 ] || quiet=--sun-misc-unsafe-memory-access=allow
  MAVEN_OPTS="${MAVEN_OPTS:-} $quiet" mvn -B -Dstyle.color=never --no-transfer-progress -f "$root/pom.xml" "$@"
}

# Builds the commands into target/run, if a source is newer. Two processes at once: the second waits, and finds them built. A jar is replaced by
# another file of its name, so that a command that is running keeps the one it began with.
build() {
  local run=$root/target/run
  if is_built; then return; fi
  mkdir -p "$run"
  exec 9>"$root/target/.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if ! is_built; then
    say "building the commands into target/run (the first time, Maven fetches what it needs into its own folder)"
    touch "$run/.building" # from before the build, so that what is edited meanwhile is built next time
    rm -rf "$root/target/lib"
    if ! maven -q -Dmaven.test.skip -Dspotless.check.skip package >&2; then
      say "the build failed, see above; a first build needs the network"
      exit 1
    fi
    local jar
    for jar in "$run"/*.jar; do
      [ -e "$root/target/lib/$(basename "$jar")" ] || rm -f "$jar" # of a dependency that is no more
    done
    for jar in "$root"/target/lib/*.jar "$root/target/kudari.jar"; do
      cp "$jar" "$run/.new"
      mv "$run/.new" "$run/$(basename "$jar")"
    done
    mv "$run/.building" "$run/.built"
  fi
  exec 9>&-
}

is_built() {
  local stamp=$root/target/run/.built
  [ -e "$stamp" ] && [ -z "$(find "$root/pom.xml" "$root/kernels" "$root/src/main" -newer "$stamp" -print -quit)" ]
}

# Whether the dynamic linker finds a library.
has_library() {
  local folder
  for folder in ${LD_LIBRARY_PATH:+${LD_LIBRARY_PATH//:/ }} /usr/local/cuda/lib64 /usr/local/cuda-12/lib64; do
    [ ! -e "$folder/$1" ] || return 0
  done
  ldconfig -p 2>/dev/null | grep -qF "$1 (libc6,x86-64)"
}

# Where there is a driver but no compiler for its kernels, Maven has it: once, into target/nvrtc, which scripts/kudari has on its class path.
fetch_nvrtc() {
  [ "$(uname -sm)" = "Linux x86_64" ] && has_library libcuda.so.1 && ! has_library libnvrtc.so.12 || return 0
  if compgen -G "$root/target/nvrtc/cuda-redist-*.jar" >/dev/null; then return; fi
  say "a CUDA driver and no NVRTC 12: fetching it (Maven's org.bytedeco:cuda-redist, 360 MB, once)"
  maven -q dependency:copy-dependencies -DincludeArtifactIds=cuda-redist -DincludeScope=test -DoutputDirectory="$root/target/nvrtc" >&2 ||
    say "it could not be fetched; scripts/kudari doctor says what else will do"
}
