#!/bin/sh
# Builds the kernels and one of their checks for AArch64 and runs it under emulation: NEON gives the twin's bits there, and the
# twin gives those that it gives here.
# usage: neon.sh SOURCE_FOLDER CHECK NATIVE_CHECK     CHECK: check_panel, …; NATIVE_CHECK: its program for this machine
set -eu
source=$1 check=$2 native=$3
cc=aarch64-linux-gnu-gcc emulator=qemu-aarch64
for tool in $cc $emulator; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
folder=$(mktemp -d "${TMPDIR:-/tmp}/sluice-neon-XXXXXX")
trap 'rm -rf "$folder"' EXIT

flags="-std=c17 -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L -I$source/src -I$source/kernels -I$source/tests"
build() { # flags, sources of the tree
    more=$1
    shift
    for file; do
        # shellcheck disable=SC2086
        $cc $flags $more -c "$source/$file" -o "$folder/$(echo "$file" | tr / _).o"
    done
}
cd "$source"
build "-O2 -fno-tree-vectorize" kernels/ref/*.c
build "-O2" kernels/*.c kernels/arm/*.c src/base/memory.c src/base/must.c "tests/kernel/$check.c"
$cc -static "$folder"/*.o -o "$folder/check" -lm

seed=${SLUICE_SEED:-$(date +%s)}
$emulator "$folder/check" --seed "$seed" >"$folder/there" || { cat "$folder/there"; exit 1; }
cat "$folder/there"
grep -q '_neon: skipped' "$folder/there" && { echo "NEON did not run"; exit 1; }
"$native" --seed "$seed" >"$folder/here"
there=$(grep '^twin' "$folder/there" || true) here=$(grep '^twin' "$folder/here" || true)
if [ "$there" != "$here" ]; then
    echo "there $there, here $here"
    exit 1
fi
