#!/usr/bin/env bash
# Shows that the linearizability test has teeth: each patch in scripts/mutants breaks one promise in
# a copy of this tree, and the test has to notice. As root, since it makes network namespaces.
#
#   scripts/mutants.sh [PATCH…]      SECONDS_EACH=60 and SEEDS="1 2 3" say how long it may take
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60}
read -ra seeds <<<"${SEEDS:-1 2 3}"
patches=("$@")
if ((${#patches[@]} == 0)); then
    patches=(scripts/mutants/*.patch)
fi
# Apart from the tree's own, whose binaries are not broken.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
export CARGO_TARGET_DIR=$target RUST_BACKTRACE=0

copy=$(mktemp -d)
output=$(mktemp)
trap 'rm -f "$output"; git worktree remove --force "$copy"' EXIT
git worktree add --quiet --detach "$copy" HEAD

# Whether the test in the copy fails with one of the seeds, and for the reason that the patch names.
is_found() {
    local found_by=$1 seed
    for seed in "${seeds[@]}"; do
        if (cd "$copy" && SEED=$seed SECONDS=$seconds \
            cargo test --quiet -p bookmesh-node --test linearizability one_order -- --nocapture \
            >"$output" 2>&1); then
            echo "  seed $seed: not noticed in $seconds s"
        elif grep -Eq "$found_by" "$output"; then
            echo "  seed $seed: noticed"
            grep -E -m 1 -A 20 "$found_by" "$output" | cut -c 1-160 | sed 's/^/    /'
            return 0
        else
            echo "  seed $seed: failed for another reason:" >&2
            tail -n 40 "$output" >&2
            return 1
        fi
    done
    return 1
}

for patch in "${patches[@]}"; do
    echo "==> $(basename "$patch"): $(head -n 1 "$patch")"
    git -C "$copy" apply --recount "$(realpath "$patch")"
    (cd "$copy" && cargo test --quiet -p bookmesh-node --test linearizability --no-run)
    if ! is_found "$(sed -n 's/^Found by: //p' "$patch")"; then
        echo "==> this was not noticed" >&2
        exit 1
    fi
    git -C "$copy" checkout --quiet .
done
echo "==> all were noticed"
