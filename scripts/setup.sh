# Sourced by the other scripts: finds what they need, or installs it as root on a Debian-like system, or says how to get it.
# Needs: a JDK of version 17 or later, Maven, for the text in the PNG pictures a font and the libraries that Java draws it with, for the tests a C++
# compiler (set_up c++), and for a bundle xz (set_up c++ xz).

set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

say() { echo "kudari: $*" >&2; }

# Java reads and writes the names of files in the encoding of the locale; without UTF-8 there is none for a name beyond ASCII.
if ! locale charmap 2>/dev/null | grep -q UTF-8; then export LC_ALL=C.UTF-8; fi

# Services have no HOME: then it is that of the table of users, or / for a user who is not in it, as the shell has it.
if [ -z "${HOME:-}" ]; then
  unset HOME
  export HOME=~
fi

# Whether a folder can be written to, or made.
is_writable() {
  local folder=$1
  while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
  [ -d "$folder" ] && [ -w "$folder" ]
}

# Maven and Java look for the home folder in the table of users, which need not know a container's user; HOME is what counts.
repository=$HOME/.m2/repository
maven_options=()
[[ $HOME == *[[:space:]]* ]] || [ "$HOME" = "$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)" ] || export MAVEN_OPTS="${MAVEN_OPTS:-} -Duser.home=$HOME"
if ! is_writable "$repository"; then
  repository=$root/target/repository
  maven_options+=(-Dmaven.repo.local="$repository")
fi
# The same for what is kept between runs: compiled kernels, unpacked libraries, Java's list of fonts.
is_writable "${XDG_CACHE_HOME:-$HOME/.cache}" || export XDG_CACHE_HOME=$root/target/cache

javac=${JAVA_HOME:+$JAVA_HOME/bin/}javac

# The version of the JDK's compiler, as a bare number; nothing where there is no compiler. One that does not start is not missing, so it ends the
# script, with its reason.
jdk_version() {
  local said
  command -v "$javac" >/dev/null || return 0
  if ! said=$("$javac" -version 2>&1); then
    say "the Java compiler $(command -v "$javac") does not start; it says: ${said//$'\n'/ }"
    say "fix that, or name another JDK with JAVA_HOME"
    exit 1
  fi
  sed -n 's/^javac \([0-9]*\).*/\1/p' <<<"$said"
}

has_font() {
  local fonts
  command -v fc-list >/dev/null || return 1
  fonts=$(fc-list 2>/dev/null) || return 0 # it is there; why it fails is not for this script to fix
  [ -n "$fonts" ]
}

# Debian's packages of the libraries that the JDK draws text with and that the system lacks: from JDK 21 on its packages only recommend them.
drawing_libraries() {
  local java_home
  java_home=$(dirname "$(dirname "$(readlink -f "$(command -v "$javac")")")")
  { ldd "$java_home/lib/libfontmanager.so" "$java_home/lib/liblcms.so" 2>/dev/null || true; } |
    sed -n 's/^\s*libfreetype\.so\.6 => not found/libfreetype6/p; s/^\s*libharfbuzz\.so\.0 => not found/libharfbuzz0b/p
      s/^\s*liblcms2\.so\.2 => not found/liblcms2-2/p' | sort -u
}

# What is missing, as Debian's packages (jdk is any of several): needed is what nothing works without, wanted what only the pictures need.
look() {
  needed=() wanted=()
  jdk=$(jdk_version)
  if [ "${jdk:-0}" -lt 17 ]; then
    if [ -n "${JAVA_HOME:-}" ]; then
      say "JAVA_HOME=$JAVA_HOME holds no JDK of version 17 or later: set it to one, or unset it"
      exit 1
    fi
    needed+=(jdk)
  fi
  command -v mvn >/dev/null || needed+=(maven)
  # The tests build the GPU in software, on the only platform it knows.
  if [[ " $* " == *" c++ "* ]] && [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v "${CXX:-g++}" >/dev/null; then needed+=(g++); fi
  if [[ " $* " == *" xz "* ]] && ! command -v xz >/dev/null; then needed+=(xz-utils); fi
  # Only on Linux does Java take its fonts and these libraries from the system; without them the pictures fail, the rest does not.
  if [ "$(uname)" = Linux ]; then
    has_font || wanted+=(fontconfig fonts-dejavu-core)
    # shellcheck disable=SC2207 # a word for each package
    [ -z "$jdk" ] || wanted+=($(drawing_libraries))
  fi
}

set_up() {
  look "$@"
  [ "${#needed[@]}${#wanted[@]}" != 00 ] || return 0
  if ! command -v apt-get >/dev/null; then
    local package
    for package in ${needed[@]+"${needed[@]}"} ${wanted[@]+"${wanted[@]}"}; do
      case $package in
        jdk) say "no JDK of version 17 or later${jdk:+ (javac is of version $jdk)}: install one, from your system's packages or adoptium.net" ;;
        maven) say "no Maven (mvn): install it from your system's packages or maven.apache.org" ;;
        g++) say "no C++ compiler (g++): install it from your system's packages, or set CXX" ;;
        xz-utils) say "no xz: install it from your system's packages" ;;
        fontconfig) say "no font: the PNG pictures need fontconfig and any font, such as DejaVu" ;;
        lib*) say "a library that Java draws text with is missing, and the PNG pictures need it: Debian calls it $package" ;;
      esac
    done
    [ ${#needed[@]} = 0 ] || exit 1
    return 0
  fi
  if [ "$(id -u)" != 0 ]; then
    say "missing; to install: sudo apt-get install $(packages)"
    [ ${#needed[@]} = 0 ] || exit 1
    return 0
  fi
  say "reading the list of packages"
  apt-get update -qq >&2 || say "the list of packages could not be read; going on with the old one"
  install_packages
  hash -r
  look "$@" # which libraries are missing is known once there is a JDK
  [ "${#needed[@]}${#wanted[@]}" = 00 ] || install_packages
}

# What is missing, with the newest of the JDKs that Debian and Ubuntu still carry and that this system has.
packages() {
  local package v
  for package in ${needed[@]+"${needed[@]}"} ${wanted[@]+"${wanted[@]}"}; do
    if [ "$package" = jdk ]; then
      package=default-jdk-headless
      for v in 25 17 21; do
        if apt-cache show "openjdk-$v-jdk-headless" >/dev/null 2>&1; then package=openjdk-$v-jdk-headless; fi
      done
    fi
    printf '%s ' "$package"
  done
}

install_packages() {
  local options=(-y --no-install-recommends) bytes
  # shellcheck disable=SC2046 # a word for each package
  set -- $(packages)
  bytes=$(apt-get install "${options[@]}" -qq --print-uris "$@" 2>/dev/null | awk '{ sum += $3 } END { printf "%d", sum }') || bytes=0
  say "installing $* and what they need: $(((bytes + 999999) / 1000000)) MB to fetch"
  [ -t 2 ] || options+=(-q -o Dpkg::Use-Pty=0)
  if ! DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" >&2; then
    say "could not install $*, see above"
    [ ${#needed[@]} = 0 ] || exit 1
  fi
}

# Maven, on the project of $pom where that is set, with plain output: without its reset of colours at the end either. From Java 23 the JVM would warn
# of what Maven's own libraries do.
maven() {
  local options="-Djansi.noreset=true"
  [ "${jdk:-0}" -lt 23 ] || options+=" --sun-misc-unsafe-memory-access=allow"
  MAVEN_OPTS="${MAVEN_OPTS:-} $options" mvn -B -Dstyle.color=never --no-transfer-progress ${maven_options[@]+"${maven_options[@]}"} -f "${pom:-$root/pom.xml}" "$@"
}

# Runs a command that fetches something into Maven's folder, and shows meanwhile how much has come.
fetching() {
  local before megabytes status=0
  before=$(in_repository)
  if [ -t 2 ]; then
    while sleep 1 && kill -0 $$ 2>/dev/null; do
      megabytes=$(($(in_repository) - before))
      [ $megabytes = 0 ] || printf '\rkudari: %d MB fetched ' $megabytes >&2
    done &
    local watcher=$!
    "$@" || status=$?
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
    printf '\r\e[K' >&2 # to the left, and the line is clear
  else
    "$@" || status=$?
  fi
  megabytes=$(($(in_repository) - before))
  [ $megabytes = 0 ] || say "$megabytes MB fetched"
  return $status
}

# The size of Maven's folder in megabytes.
in_repository() { du -s --block-size=1MB "$repository" 2>/dev/null | cut -f1 | grep . || echo 0; }

# Builds the commands into target/run, if a source is newer. Two processes at once: the second waits, and finds them built. A jar is replaced by
# another file of its name, so that a command that is running keeps the one it began with.
build() {
  local run=$root/target/run
  if is_built; then return; fi
  mkdir -p "$run"
  exec 9>"$root/target/.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if ! is_built; then
    say "building the commands into target/run"
    [ -d "$repository/org/bytedeco/openblas" ] || say "the first time, Maven fetches what it needs: about 100 MB, into $repository"
    touch "$run/.building" # from before the build, so that what is edited meanwhile is built next time
    rm -rf "$root/target/lib"
    if ! fetching maven -q -DskipTests package >&2; then
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

# For kudari train --spark: the commands with Kudari's part for Spark, and Spark itself as a class path, in target/run-spark.
build_spark() {
  local run=$root/target/run-spark
  if [ -e "$run/.built" ] && [ -z "$(find "$root/pom.xml" "$root/kernels" "$root/src/main" "$root/src/spark" -newer "$run/.built" -print -quit)" ]; then return; fi
  mkdir -p "$run"
  exec 9>"$root/target/.lock"
  if command -v flock >/dev/null; then flock 9; fi
  say "building Kudari's part for Spark into target/run-spark"
  [ -d "$repository/org/apache/spark" ] || say "the first time, Maven fetches Spark and what it needs: about 150 MB, into $repository"
  touch "$run/.building"
  if ! fetching maven -q -P 'spark,!soft' -DskipTests package dependency:build-classpath -Dmdep.outputFile="$run/.classpath" -Dmdep.includeScope=compile >&2; then
    say "the build failed, see above; a first build needs the network"
    exit 1
  fi
  mv "$run/.classpath" "$run/classpath"
  cp "$root/target/kudari.jar" "$run/.new"
  mv "$run/.new" "$run/kudari.jar"
  mv "$run/.building" "$run/.built"
  exec 9>&-
}

# Whether the dynamic linker finds a library.
has_library() {
  local folder
  for folder in ${LD_LIBRARY_PATH:+${LD_LIBRARY_PATH//:/ }} /usr/local/cuda/lib64 /usr/local/cuda-12/lib64; do
    [ ! -e "$folder/$1" ] || return 0
  done
  ldconfig -p 2>/dev/null | grep -qF "$1 (libc6,x86-64)"
}

# Maven has NVRTC, which compiles the kernels: once, into target/nvrtc, which the tests and scripts/kudari have on their class path.
fetch_nvrtc() {
  if compgen -G "$root/target/nvrtc/cuda-redist-*.jar" >/dev/null; then return; fi
  compgen -G "$repository/org/bytedeco/cuda-redist/*/*-linux-x86_64.jar" >/dev/null ||
    say "fetching NVRTC, which compiles the kernels: Maven's org.bytedeco:cuda-redist, 362 MB, once, into $repository"
  fetching maven -q dependency:copy@nvrtc >&2
}

# For the commands: where there is a driver but no compiler for its kernels.
fetch_nvrtc_for_driver() {
  [ "$(uname -sm)" = "Linux x86_64" ] && has_library libcuda.so.1 && ! has_library libnvrtc.so.12 || return 0
  fetch_nvrtc || say "NVRTC could not be fetched; scripts/kudari doctor says what else will do"
}

# What became of the tests whose reports are in a folder.
count_tests() {
  find "$1" -name 'TEST-*.xml' -exec grep -h -m1 '<testsuite ' {} + | awk '
    function count(name) { return match($0, " " name "=\"[0-9]+\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : 0 }
    { tests += count("tests"); failed += count("failures") + count("errors"); skipped += count("skipped") }
    END { printf "%d passed, %d failed%s", tests - failed - skipped, failed, skipped ? ", " skipped " skipped" : "" }'
}
