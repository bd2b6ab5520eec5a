#!/bin/sh
# Wrong usage ends with 2 and a text that names what is wrong; help ends with 0.
# usage: usage.sh SLUICE
set -eu
sluice=$1
folder=$(mktemp -d "${TMPDIR:-/tmp}/sluice-usage-XXXXXX")
trap 'rm -rf "$folder"' EXIT
failed=0

refused() { # what the text must hold, arguments
    wanted=$1
    shift
    status=0
    "$sluice" "$@" >"$folder/out" 2>"$folder/err" </dev/null || status=$?
    if [ $status != 2 ] || ! grep -q -e "$wanted" "$folder/err"; then
        echo "sluice $*: status $status, wanted 2 and '$wanted':"
        cat "$folder/err"
        failed=1
    fi
}

"$sluice" --help | grep -q '^  submit' || failed=1
"$sluice" help >"$folder/out"
"$sluice" --version | grep -q '^sluice [0-9]' || failed=1
for command in $("$sluice" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    "$sluice" help "$command" | grep -q '^Usage: sluice' || { echo "no help for $command"; failed=1; }
done

refused 'Usage'
refused "did you mean 'submit'" sumbit
refused "did you mean 'query'" qeury
refused 'no command' something-else
refused 'no command' help something-else
refused 'no FILE' submit
refused 'one FILE' submit a b
printf '\050\003\000\000{"__metadata__":{}}\n1,2\n' >"$folder/base.safetensors"
refused 'not a CSV, JSON lines or pain.001 file: its byte 2 is 0' submit --connect ipc:///nowhere "$folder/base.safetensors"
refused 'whole number' submit --batch-rows many a
refused '1 to 1000000' submit --batch-rows 0 a
refused '1 to 1000000' submit --batch-rows 1e7 a
refused 'table, csv or jsonl' submit --format xml a
refused 'screen or score' submit --op judge a
refused 'all, held or passed' submit --only some a
refused 'cannot open' submit "$folder/not-there.csv"
refused 'unrecognized option' submit --colour a
refused 'KIND is' observe colour a
refused 'no FILE' observe use
refused 'no FILE' label
refused 'BATCH/rN' consolidate --fields '{}'
refused 'needs --fields' consolidate pay/r1
refused 'BATCH/rN' report --failed
refused 'put, remove or show' list clear
refused 'no FILE' list put
refused 'one FILE' list show a
refused 'list or show' case close 3
refused 'which case' case show
refused 'list takes no CASE' case list 3
refused 'a moment in UTC' query --from yesterday
refused 'table, csv or jsonl' query --format xml
refused 'no scene' synth --rates theft=0.1
refused 'shares of 0 to 0.5' synth --rates fan_out=2
refused 'SCENE=SHARE' synth --rates fan_out
refused '1000 to' synth --accounts 5
refused 'three letters' synth --currency EURO
refused 'cannot write' synth --rows 10 --out "$folder/no/such/folder.csv"
refused 'poisson or burst' bench --arrivals never
refused 'whole number' bench --batch-rows 10:x
refused 'no FILE' inspect
refused 'neither a scene base nor a message' inspect "$sluice"
refused 'holds no ledger' inspect "$folder"
refused 'cannot open' submit --token-file "$folder/none" "$folder/not-there.csv"
refused 'is empty' inspect /dev/null
refused 'takes no argument' base list x
refused 'list or verify' audit show "$folder"
refused 'no ledger' audit verify "$folder"
refused 'N:HASH' audit verify --head 3 "$folder"
refused "cannot open $folder: Is a directory" submit "$folder"
refused "cannot open $folder: Is a directory" build --out "$folder/x" "$folder"
refused 'cannot write .*: Is a directory' synth --rows 10 --out "$folder"
refused 'cannot write .*: File exists' token --file "$folder"

# Files of another kind are told as that, with the place.
printf 'transfer_id;amount\nt1;12\n' >"$folder/semicolons.csv"
printf '[{"transfer_id":"t1"}]\n' >"$folder/array.jsonl"
printf '{\n"transfer_id":"t1"\n}\n' >"$folder/pretty.jsonl"
printf 'transfer_id,amount,amount\nt1,1,2\n' >"$folder/twice.csv"
printf 'transfer_id,memo\nt1,"open\n' >"$folder/quote.csv"
: >"$folder/empty.csv"
refused 'line 1: .*parted by something else' submit "$folder/semicolons.csv"
refused 'one object a line and no brackets' submit "$folder/array.jsonl"
refused 'line 1: .*one object a line' submit --save "$folder/x.columns" "$folder/pretty.jsonl"
refused 'line 1, amount: the header has it twice' submit "$folder/twice.csv"
refused 'line 2: a quote is not closed' submit --save "$folder/x.columns" "$folder/quote.csv"
refused 'line 1: the file is empty' submit "$folder/empty.csv"
refused '^sluice build: .*empty.csv, line 1: the file is empty' build --out "$folder/x" "$folder/empty.csv"
printf 'transfer_id,amount\nt1,1.5\n' >"$folder/cents.csv"
refused 'is not saved: row 1, amount: line 2: must be whole minor units' submit --save "$folder/x.columns" "$folder/cents.csv"

refused 'no arguments' devices cpu
refused 'cannot open' devices --base "$folder/none"
refused 'no --base' tune
refused 'whole number' tune --base a --device first
refused 'cannot open' tune --base "$folder/none"
OCL_ICD_VENDORS="$folder/none" "$sluice" devices >"$folder/out"
grep -q '^cpu  *cpu' "$folder/out" && grep -q '^opencl  *none' "$folder/out" || { echo "devices"; failed=1; }

printf 'transfer_id,amount\nt1,12\n' >"$folder/a.csv"
refused 'cannot open .*none' submit --token-file "$folder/none" "$folder/a.csv"
status=0
"$sluice" submit --connect "ipc://$folder/nobody.ipc" --timeout 100 "$folder/a.csv" 2>"$folder/err" || status=$?
[ $status = 3 ] && grep -q 'nobody answered' "$folder/err" || { echo "unreachable: status $status"; cat "$folder/err"; failed=1; }

# What cannot be printed is told.
for arguments in "--help" "inspect $folder/a.columns" "synth --rows 1000"; do
    status=0
    # shellcheck disable=SC2086
    "$sluice" submit --save "$folder/a.columns" "$folder/a.csv" 2>/dev/null && "$sluice" $arguments >/dev/full 2>"$folder/err" || status=$?
    [ $status = 2 ] && grep -q 'cannot write' "$folder/err" || { echo "$arguments on a full disk: status $status"; failed=1; }
done
refused "cannot read $folder/none: No such file" submit --ca-file "$folder/none" --connect tls+tcp://127.0.0.1:1 "$folder/a.csv"

# One batch as .columns and back, without a server.
"$sluice" submit --save "$folder/a.columns" "$folder/a.csv" 2>/dev/null
"$sluice" inspect --json "$folder/a.columns" | grep -q '"op":"screen".*"rows":1' || { echo "--save"; failed=1; }
"$sluice" synth --rows 50 --seed 3 --from 2026-01-01 --out "$folder/b.jsonl" --observations "$folder/news" 2>/dev/null
[ "$(wc -l <"$folder/b.jsonl")" = 50 ] && [ -s "$folder/news/contact.csv" ] || { echo "synth"; failed=1; }
"$sluice" synth --rows 50 --seed 3 --from 2026-01-01 --out "$folder/c.csv" --later "$folder/d.csv" 2>/dev/null
[ "$(wc -l <"$folder/c.csv") $(wc -l <"$folder/d.csv")" = "36 16" ] || { echo "--later"; failed=1; }
refused 'more than one batch' submit --batch-rows 20 --save "$folder/b.columns" "$folder/b.jsonl"
exit $failed
