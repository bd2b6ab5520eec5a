#!/bin/sh
# The bases in models/ are what script/models makes, byte for byte, and this machine's kernels give their golden distances.
# A base whose table is not there is looked at all the same, but not made again.
# usage: models.sh SLUICE TREE
set -eu
sluice=$1 tree=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/sluice-models-XXXXXX")
trap 'rm -rf "$folder"' EXIT
failed=0 differs=0
"$tree/script/models" "$sluice" "$folder" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
grep 'no table' "$folder/log" || true
for base in "$tree"/models/*/; do
    name=$(basename "$base")
    for file in base.safetensors base.golden.safetensors base.card.md later.md; do
        [ -e "$tree/models/$name/$file" ] || { echo "$name: no $file"; failed=1; }
        [ ! -d "$folder/$name" ] || cmp "$folder/$name/$file" "$tree/models/$name/$file" || differs=1
    done
    for plot in precision-recall reliability confusion; do
        grep -q '</svg>' "$tree/models/$name/plots/$plot.svg" || { echo "$name: no plot $plot"; failed=1; }
    done
    "$sluice" inspect "$tree/models/$name/base.safetensors" >"$folder/shown" || failed=1
    grep 'golden distances hold' "$folder/shown" || { echo "$name: no golden distances"; failed=1; }
done
for name in synth handbook; do
    [ -d "$tree/models/$name" ] || { echo "no models/$name"; failed=1; }
done
if [ $differs = 1 ]; then
    echo "features, history, training or arithmetic have changed: script/models makes the shipped bases anew"
    failed=1
fi
exit $failed
