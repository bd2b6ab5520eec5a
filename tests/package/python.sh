#!/bin/bash
# The Python package: installed into a virtual environment of the build folder, its tests against the real server, its types and
# its style. What the Python registry gives is kept between runs.
# usage: python.sh SLUICE BUILD
set -euo pipefail
export SLUICE=$1 PIP_DISABLE_PIP_VERSION_CHECK=1
tree=$(cd "$(dirname "$0")/../.." && pwd)
venv=$2/python

skip() {
    echo "skipped: $1"
    exit 77
}

changed() { # file of a sum, what it is of: whether it is another than then
    [ "$(cat "$venv/$1" 2>/dev/null)" != "$2" ]
}

sum_of() {
    (cd "$tree" && find "$@" -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
}

python=/usr/bin/python3 # Debian's, whatever comes first in PATH
"$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || skip "python3 is older than 3.10 or lacks python3-venv"
needs=$(sum_of tests/python/requirements.txt tests/python/optional.txt)
if changed needs "$needs"; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -q --retries 1 -r "$tree/tests/python/requirements.txt" >"$venv/log" 2>&1 ||
        skip "the Python registry gives no $(grep -oE 'No matching distribution found for [^ ]+|[A-Za-z]*Error' "$venv/log" | tail -1 | sed 's/.* //'), see $venv/log"
    "$venv/bin/pip" install -q --retries 1 -r "$tree/tests/python/optional.txt" >>"$venv/log" 2>&1 ||
        echo "pandas, pyarrow, mypy, ruff: skipped, the Python registry does not give them"
    echo "$needs" >"$venv/needs"
fi

package=$(sum_of src/client/python)
if changed package "$package"; then
    rm -rf "$venv/source"
    cp -r "$tree/src/client/python" "$venv/source" # a build leaves its folders beside the source
    "$venv/bin/pip" install -q --no-deps --no-index --no-build-isolation --force-reinstall "$venv/source"
    echo "$package" >"$venv/package"
fi

cd "$tree/tests/python"
status=0
if [ -x "$venv/bin/ruff" ]; then
    "$venv/bin/ruff" check -q --no-cache --config "$tree/src/client/python/pyproject.toml" "$tree/src/client/python" . || status=1
    "$venv/bin/ruff" format -q --check --no-cache --config "$tree/src/client/python/pyproject.toml" "$tree/src/client/python" . ||
        { echo "ruff format would change these"; status=1; }
    "$venv/bin/mypy" --cache-dir "$venv/mypy" --config-file "$tree/src/client/python/pyproject.toml" "$tree/src/client/python/sluice" || status=1
fi
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest || status=1
exit $status
