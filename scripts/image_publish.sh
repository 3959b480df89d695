#!/usr/bin/env bash
# How the workflow makes one image of those that were built for each processor.
#
#   scripts/image_publish.sh name REPOSITORY              the image's name, as name=…
#   scripts/image_publish.sh try IMAGE                    starts it, as it would be started
#   scripts/image_publish.sh note DIR DIGEST              keeps what one build pushed, in DIR
#   scripts/image_publish.sh join DIR IMAGE BRANCH SHA    tags all of DIR as one image
set -euo pipefail
scripts=$(dirname "$0")

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

is_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]]; }

case ${1:-} in
    name)
        (($# == 2)) || usage
        # Registries take small letters only; repositories may have others.
        line=name=ghcr.io/${2,,}
        echo "$line"
        if [[ -n ${GITHUB_OUTPUT:-} ]]; then
            echo "$line" >>"$GITHUB_OUTPUT"
        fi
        ;;
    try)
        (($# == 2)) || usage
        # A binary that is of another processor, or has something to load, says nothing.
        said=$(docker run --rm --read-only --cap-drop ALL --network none "$2" --version)
        [[ $said =~ ^bookmesh\ [0-9]+\.[0-9]+\.[0-9]+ ]] ||
            { echo "$2 says '$said', and not its version" >&2; exit 1; }
        echo "$2 is $said"
        ;;
    note)
        (($# == 3)) || usage
        is_digest "$3" || { echo "'$3' is no digest: was the image pushed?" >&2; exit 1; }
        mkdir -p "$2"
        touch "$2/${3#sha256:}"
        ;;
    join)
        (($# == 5)) || usage
        dir=$2 image=$3 tags=() sources=()
        for file in "$dir"/*; do
            digest=sha256:$(basename "$file")
            is_digest "$digest" || { echo "no digests are in $dir" >&2; exit 1; }
            sources+=("$image@$digest")
        done
        if ((${#sources[@]} != 2)); then
            echo "amd64 and arm64 are to be joined, and there are: ${sources[*]}" >&2
            exit 1
        fi
        # Assigned first: a failure inside `<(…)` would go unnoticed.
        lines=$("$scripts/image_tags.sh" "$4" "$5")
        while read -r tag; do
            tags+=(--tag "$image:$tag")
        done <<<"$lines"
        docker buildx imagetools create "${tags[@]}" "${sources[@]}"
        docker buildx imagetools inspect "${tags[1]}"
        ;;
    *) usage ;;
esac
