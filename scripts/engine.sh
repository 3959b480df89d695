# What scripts that need a Docker engine ask of it; to be sourced, from the root of the tree.
# shellcheck shell=bash

export BOOKMESH_IMAGE=${BOOKMESH_IMAGE:-bookmesh:dev}

need_engine() {
    if ! command -v docker >/dev/null; then
        echo "no docker command: install Docker (Debian: apt-get install docker.io docker-compose)" >&2
        return 1
    fi
    if ! docker version >/dev/null 2>&1; then
        echo "no Docker engine answers: start it (systemctl start docker), or join the docker group" >&2
        return 1
    fi
}

# The image as it is, or of the sources as they are now with REBUILD.
need_image() {
    if [[ -n ${REBUILD:-} ]] || ! docker image inspect "$BOOKMESH_IMAGE" >/dev/null 2>&1; then
        scripts/image.sh
    fi
}
