#!/bin/sh
# Installs the library into a fresh folder; programs are built against it by pkg-config and by find_package, and run.
# usage: install.sh BUILD_FOLDER CC PROGRAM
set -eu
build=$1 cc=$2 program=$3
if grep -q '^SLUICE_SANITIZE:[A-Z]*=..*' "$build/CMakeCache.txt"; then
    echo "skipped: a sanitized library is not for installing"
    exit 77
fi
tree=$(mktemp -d "${TMPDIR:-/tmp}/sluice-package-XXXXXX")
trap 'rm -rf "$tree"' EXIT
DESTDIR=$tree cmake --install "$build" --component library >"$tree/log" || { cat "$tree/log"; exit 1; }

file=$(find "$tree" -name sluice.pc)
PKG_CONFIG_PATH=$(dirname "$file")
PKG_CONFIG_SYSROOT_DIR=$tree
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
# shellcheck disable=SC2046
"$cc" -std=c17 -Wall -Wextra -Werror "$program" -o "$tree/program" $(pkg-config --cflags --libs sluice)
LD_LIBRARY_PATH=$(dirname "$(find "$tree" -name 'libsluice.so')")
export LD_LIBRARY_PATH
"$tree/program"

cmake -S "$(dirname "$program")" -B "$tree/cmake" -DCMAKE_C_COMPILER="$cc" -Dsluice_DIR="$(dirname "$(find "$tree" -name sluiceConfig.cmake)")" >"$tree/log" ||
    { cat "$tree/log"; exit 1; }
cmake --build "$tree/cmake" >"$tree/log" || { cat "$tree/log"; exit 1; }
"$tree/cmake/program"

# The library shows nothing but its own calls.
if nm -D --defined-only "$LD_LIBRARY_PATH/libsluice.so" | grep -v ' sluice_'; then
    echo "libsluice exports the above as well"
    exit 1
fi
