#!/usr/bin/env bash
# Checks what can be of .github/workflows without its runners, and the compose files: both against
# their schemas, and the workflow's steps against the scripts of this tree.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.39.0
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
venv=$target/check-jsonschema-$version

if [[ ! -x $venv/bin/check-jsonschema ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "check-jsonschema==$version"
fi
check=("$venv/bin/check-jsonschema" --verbose)

"${check[@]}" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"${check[@]}" --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
shopt -s nullglob
compose=(compose/compose*.yaml)
if ((${#compose[@]} > 0)); then
    "${check[@]}" --builtin-schema vendor.compose-spec "${compose[@]}"
fi
# With the venv's Python, which reads YAML.
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest discover --start-directory scripts/tests --verbose
