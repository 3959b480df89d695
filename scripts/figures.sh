#!/usr/bin/env bash
# Measures what the README's table of figures says: start-up, memory, import, size, requests.
# Uses a release build, loopback and a directory of its own; needs curl, and wrk for the last rows.
#   scripts/figures.sh [BOOKS.csv]
set -euo pipefail
cd "$(dirname "$0")/.."
books=${1:-examples/data/books.csv}
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet
bookmesh=$(realpath "$target/release/bookmesh")
books=$(realpath "$books")
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
export HOST=127.0.0.1 P2P_HOST=127.0.0.1 PORT=0 P2P_PORT=0 MDNS=off LOG_LEVEL=warn
MESH_KEY=$("$bookmesh" keys mesh)
export MESH_KEY

field() { tr ' ' '\n' <"$1.out" | sed -n "s/^$2=//p" | cut -d, -f1; }
start() { # name, arguments …
    local name=$1 began
    shift
    began=$(date +%s%N)
    "$bookmesh" "$@" >"$name.out" 2>"$name.err" &
    pids+=($!)
    until grep -q '^ready' "$name.out"; do sleep 0.005; done
    took_ms=$((($(date +%s%N) - began) / 1000000))
    pid=$!
}
memory() { echo "$(($(awk '/VmRSS/ {print $2}' "/proc/$1/status") / 1024)) MiB"; }
row() { printf '| %-58s | %s |\n' "$1" "$2"; }

row 'binary, stripped' "$(($(stat -c %s "$bookmesh") / 1048576)) MiB"

(unset MESH_KEY; start up up --port 0 --data-dir up-data; echo "$pid $took_ms" >up.pid)
read -r up_pid up_ms <up.pid
pids+=("$up_pid")
row '`up`, 3 workers: first start to ready' "$up_ms ms"
kill "$up_pid"
while kill -0 "$up_pid" 2>/dev/null; do sleep 0.05; done

start ork ork --data-dir ork-data
BOOTSTRAP=$(field ork p2p)
export BOOTSTRAP
DATA_DIR=one start worker worker --rack book-rack-001
worker_pid=$pid
start gateway gateway
url=$(field gateway http)
export BOOKMESH_URL=$url
until curl -sf "$url/racks/book-rack-001" | grep -q '"leader":"'; do sleep 0.05; done
sleep 1
row 'worker process, idle, empty' "$(memory "$worker_pid")"
began=$(date +%s%N)
said=$("$bookmesh" import "$books" 2>/dev/null | tail -1)
row "import: ${said%% in *}" "$((($(date +%s%N) - began) / 1000000)) ms"
sleep 1
row 'worker process, with those books' "$(memory "$worker_pid")"

for more in two three; do DATA_DIR=$more start "$more" worker --rack book-rack-001; done
until curl -sf "$url/racks/book-rack-001" | grep -o '"role":"voter"' | wc -l | grep -q 3; do
    sleep 0.1
done
command -v wrk >/dev/null || { echo 'wrk is not installed: no request rates'; exit 0; }
cat >post.lua <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"type":"book","tags":["bench"],"info":{"name":"A book of a benchmark","author":"Somebody"}}'
LUA
rate() { wrk -t2 -c64 -d8s --latency "$@" | awk '/Requests\/sec/ {r=$2} /99%/ {p=$2} END {printf "%d/s, p99 %s", r, p}'; }
row '`GET /live` (HTTP alone), 64 connections' "$(rate "$url/live")"
row '`GET /books/1`, linearizable, 3 synced processes' "$(rate "$url/books/1")"
row '`GET /books/1?consistency=eventual`' "$(rate "$url/books/1?consistency=eventual")"
row '`POST /books`, on a majority of 3 synced disks' "$(rate -s post.lua "$url/books")"
