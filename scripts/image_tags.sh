#!/usr/bin/env bash
# The tags that an image of a branch's commit gets, one a line.
#
#   scripts/image_tags.sh BRANCH SHA
set -euo pipefail

if (($# != 2)) || [[ -z $1 || ! $2 =~ ^[0-9a-f]{7,40}$ ]]; then
    echo "usage: scripts/image_tags.sh BRANCH SHA (7 to 40 hex digits)" >&2
    exit 2
fi
branch=$1 sha=$2

# A branch's own name is in no tag: it may have what a tag can't, as a slash.
case $branch in
    main) printf '%s\n' latest "$sha" ;;
    dev) printf '%s\n' development "dev-$sha" ;;
    *) printf '%s\n' "alpha-$sha" ;;
esac
