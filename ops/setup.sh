#!/usr/bin/env bash
# Gets what the build needs beyond git, make, g++, perl, python3 with pip, and Rust: CMake ≥ 3.28 and libclang (for
# LightGBM and its bindings) and OpenSSL's headers (for librdkafka). As root from the distribution, else as wheels
# into the cache; OpenSSL is then built from source. Writes what it found to $CACHE/build.env and says nothing when
# nothing is missing.
set -euo pipefail

CACHE=${HANGANG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hangang}
WHEELS=$CACHE/wheels
CMAKE_MIN=3.28

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

for tool in git make g++ perl python3 cargo; do
  command -v "$tool" >/dev/null || die "needs '$tool'. On Debian and Ubuntu: apt-get install git make g++ perl python3-pip; Rust: https://rustup.rs"
done

apt() { # apt PACKAGE…: true when the distribution gave them
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "setup: installing $* from the distribution"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 && return
  apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1
}
wheel() { # wheel REQUIREMENT: true when pip put it into $WHEELS
  say "setup: installing $1 as a wheel into $WHEELS"
  python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --target "$WHEELS" --upgrade "$1" >&2
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # at_least LEAST VERSION
cmake_at() { "$1" --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p'; }

cmake=$(command -v cmake || true)
if ! at_least "$CMAKE_MIN" "$(cmake_at "${cmake:-false}" || true)"; then
  cmake=$WHEELS/cmake/data/bin/cmake
  [ -x "$cmake" ] || wheel 'cmake>=3.28,<5' || die "needs CMake ≥ $CMAKE_MIN: python3 -m pip install 'cmake>=3.28'"
fi

libclang() { # the folder that holds libclang.so
  local folder
  for folder in "${LIBCLANG_PATH:-}" /usr/lib/llvm-*/lib "$WHEELS/clang/native"; do
    compgen -G "$folder/libclang*.so*" | grep -qE 'libclang(-[0-9.]+)?\.so' && { echo "$folder"; return; }
  done
  return 1
}
clang=$(libclang) || { apt libclang-dev && clang=$(libclang); } || { wheel 'libclang<19' && clang=$(libclang); } \
  || die "needs libclang: apt-get install libclang-dev"
clang_args=
[ "$clang" = "$WHEELS/clang/native" ] && clang_args="-I$(gcc -print-file-name=include)"

features=
openssl() { [ -f /usr/include/openssl/ssl.h ] && compgen -G '/usr/lib/*/libssl.so' >/dev/null; }
openssl || { apt libssl-dev pkg-config && openssl; } || features=vendored-openssl

mkdir -p "$CACHE"
{
  echo "export PATH=\"$(dirname "$cmake"):\$PATH\""
  echo "export LIBCLANG_PATH=\"$clang\""
  [ -z "$clang_args" ] || echo "export BINDGEN_EXTRA_CLANG_ARGS=\"$clang_args\""
  echo "export HANGANG_FEATURES=\"$features\""
} >"$CACHE/build.env"
