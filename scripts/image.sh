#!/usr/bin/env bash
# Builds the container image from a binary that this machine's toolchain makes, static, for an
# engine that reaches no registry. compose/Dockerfile makes the same image from source.
#
#   scripts/image.sh                             bookmesh:dev
#   BOOKMESH_IMAGE=registry/name:tag scripts/image.sh
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/engine.sh
target_dir=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
need_engine
if ! command -v readelf >/dev/null; then
    echo "no readelf: install binutils, or run .ci/run tools image" >&2
    exit 1
fi

case $(uname -m) in
x86_64) target=x86_64-unknown-linux-gnu ;;
aarch64) target=aarch64-unknown-linux-gnu ;;
*)
    echo "images are built on x86_64 and aarch64, not on $(uname -m)" >&2
    exit 1
    ;;
esac

# With a target named, the flag is for what runs in the image and not for build scripts and macros.
flags=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS
env "$flags=-C target-feature=+crt-static" \
    cargo build --release --locked --package bookmesh-node --bin bookmesh --target "$target"
binary=$target_dir/$target/release/bookmesh

# An image from scratch has nothing to load: a binary that names a loader would not even start.
headers=$(readelf --program-headers "$binary")
if [[ $headers == *INTERP* ]]; then
    echo "$binary is not static" >&2
    exit 1
fi

version=$("$binary" --version | cut -d ' ' -f 2)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/data" "$context/mesh"
# Modes come from the context, and this machine's umask is no part of the image.
chmod 0755 "$context/data" "$context/mesh"
install --mode=0755 "$binary" "$context/bookmesh"
docker build --quiet --file compose/Dockerfile.prebuilt --tag "$BOOKMESH_IMAGE" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" "$context" >/dev/null
bytes=$(docker image inspect --format '{{.Size}}' "$BOOKMESH_IMAGE")
echo "$BOOKMESH_IMAGE: $((bytes / 1024 / 1024)) MiB, version $version, revision ${revision:0:12}"
