#!/usr/bin/env bash
# Tries the mesh in containers on this machine's engine: scaling, crashes, cuts of the network, and
# the documents' commands. Each run has projects and ports of its own, and leaves nothing behind.
#
#   scripts/containers.sh                          everything
#   scripts/containers.sh test_a_network_cut_heals one scenario, or several
#   REBUILD=1 scripts/containers.sh                with an image of the sources as they are now
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/engine.sh
need_engine
if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
    echo "no Compose: install docker-compose-plugin (Debian: apt-get install docker-compose)" >&2
    exit 1
fi

need_image

cd compose/tests
if (($# > 0)); then
    exec python3 -m unittest -v "$@"
fi
exec python3 -m unittest -v \
    test_files_agree \
    test_scaling_loses_nothing \
    test_containers_are_confined \
    test_the_gateway_answers_from_outside \
    test_crashes_lose_nothing \
    test_a_network_cut_heals \
    test_slow_containers_delay_nobody \
    test_orchestrators_share_a_name \
    test_documents_are_true \
    test_runbooks_are_true
