#!/usr/bin/env bash
# Tries the profile edge: the shipped nginx.conf in front of real gateways, as processes on loopback;
# then both profiles in containers, from images that scripts/stand_ins.sh makes.
#
#   scripts/edge.sh                 all of it
#   scripts/edge.sh processes       what needs no engine
#   REBUILD=1 scripts/edge.sh       with an image of the sources as they are now
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_TARGET_DIR=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR PYTHONDONTWRITEBYTECODE=1
source scripts/engine.sh
# Where Debian puts nginx.
export PATH=$PATH:/usr/sbin

case ${1:-all} in
all) containers=yes ;;
processes) containers= ;;
*)
    echo "usage: scripts/edge.sh [processes]" >&2
    exit 2
    ;;
esac
if ! command -v nginx >/dev/null; then
    echo "no nginx: install it (Debian: apt-get install nginx), or run .ci/run tools edge" >&2
    exit 1
fi

cargo build --package bookmesh-node
python3 -m unittest discover --start-directory compose/tests --pattern 'test_edge_*.py' --verbose
if [[ -z $containers ]]; then
    exit
fi
need_engine
need_image
cd compose/tests
python3 -m unittest --verbose test_profiles_come_up_together
