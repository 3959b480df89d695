#!/usr/bin/env bash
# Holds a real mesh against its own document: schemathesis makes requests of all kinds from
# /openapi.json, valid and not, and checks every answer. Nothing is left running, or on disk.
#
#   scripts/schemathesis.sh             builds bookmesh and schemathesis where they are missing
#   EXAMPLES=200 SEED=7 scripts/schemathesis.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
scripts=$PWD/scripts
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
venv=$target/schemathesis-$version
export SCHEMATHESIS_HOOKS=$scripts/schemathesis_hooks.py

cargo build --package bookmesh-node
if [[ ! -x $venv/bin/st ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

work=$(mktemp -d)
mesh=
finish() {
    local status=$?
    if [[ -n $mesh ]]; then
        kill "$mesh" 2>/dev/null || true
        wait "$mesh" 2>/dev/null || true
    fi
    if ((status != 0)); then
        echo "--- the end of the mesh's log" >&2
        grep -v '"GET\| http ' "$work/err" | tail -n 20 >&2 || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# The shell makes them no sooner than the mesh starts, and they are looked at before.
touch "$work/out" "$work/err"
"$target/debug/bookmesh" up --port 0 --p2p-port 0 --data-dir "$work/data" >"$work/out" 2>"$work/err" &
mesh=$!
# Patience, in tenths of a second, for a machine that is busy.
for ((tries = 0; tries < 600; tries++)); do
    url=$(sed -n 's/^ready .*http=\([^ ]*\).*/\1/p' "$work/out")
    [[ -n $url ]] && break
    kill -0 "$mesh" || exit 1
    sleep 0.1
done
[[ -n $url ]] || { echo "the mesh is not up" >&2; exit 1; }
echo "a mesh is up: $url"

# It keeps notes where it runs.
cd "$work"
run() {
    "$venv/bin/st" --config-file "$scripts/schemathesis.toml" run "$url/openapi.json" \
        --checks all --seed "${SEED:-1}" --max-examples "${EXAMPLES:-50}" --no-color "$@"
}

# Everything but what would end the rest: a rack that is retired is gone for good, and a stream has
# no end that could be waited for.
run --exclude-operation-id retireRack --exclude-operation-id tailLog \
    --exclude-operation-id streamEvents
# Requests that are refused get an answer with an end from a stream's route too.
run --include-operation-id tailLog --include-operation-id streamEvents --mode negative --phases coverage,fuzzing
# The last: what happens to the racks hurts nobody any more.
run --include-operation-id retireRack --phases examples,coverage,fuzzing
