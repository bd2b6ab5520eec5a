#!/bin/sh
# The OpenCL kernels under oclgrind: no access outside a buffer, no data race, no value used before it is set.
# usage: oclgrind.sh CHECK_OPENCL. oclgrind ends well whatever it finds: what counts is that its log is empty.
set -eu
if ! command -v oclgrind >/dev/null; then
    echo "skipped: oclgrind is not installed"
    exit 77
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
oclgrind --data-races --uninitialized --log "$log" "$1" || status=$?
if [ -s "$log" ]; then
    head -n 40 "$log"
    exit 1
fi
exit $status
