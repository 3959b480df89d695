#!/usr/bin/env bash
# Images of nginx and Prometheus' programs out of this machine's own packages, for an engine that
# reaches no registry. Each holds one program, the libraries that it names and a busybox, with the
# paths, the user and the entry point of the image that it stands for. Prints what to put into .env.
#
#   scripts/stand_ins.sh                all of them
#   scripts/stand_ins.sh nginx          one
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

known=(nginx prometheus alertmanager node-exporter curl)
# What start scripts and health checks call in the images of others.
applets=(sh cat dirname mkdir wget)

# name → program here, program there, its user, its directory, variable of compose.yaml, and what
# Debian keeps beside the program and others put into it
describe() {
    case $1 in
        nginx) echo nginx /usr/sbin/nginx root /etc/nginx NGINX_IMAGE ;;
        prometheus) echo prometheus /bin/prometheus nobody /prometheus PROMETHEUS_IMAGE ;;
        alertmanager)
            echo prometheus-alertmanager /bin/alertmanager nobody /alertmanager ALERTMANAGER_IMAGE \
                /usr/share/prometheus/alertmanager
            ;;
        node-exporter)
            echo prometheus-node-exporter /bin/node_exporter nobody / NODE_EXPORTER_IMAGE
            ;;
        # A client inside of the network, for tests; compose.yaml has none.
        curl) echo curl /bin/curl nobody / CURL_IMAGE ;;
        *)
            echo "there is no stand-in for '$1'; there is one for: ${known[*]}" >&2
            return 2
            ;;
    esac
}

find_program() {
    command -v "$1" || {
        echo "$1 is not installed: .ci/run tools edge (Debian: apt-get install $1)" >&2
        return 1
    }
}

# A program at its place in a root directory, with the libraries that it loads.
put() {
    local root=$1 program=$2 there=$3 loaded library
    install -D --mode=0755 "$program" "$root$there"
    # ldd fails for a static program, which loads none.
    loaded=$(ldd "$program" 2>/dev/null || true)
    for library in $(sed -n 's|^[^/]*\(/[^ ]*\) .*|\1|p' <<<"$loaded"); do
        install -D --mode=0755 "$library" "$root$library"
    done
}

build() {
    local name=$1 description program there user directory variable beside context root image applet path
    description=$(describe "$name")
    read -r program there user directory variable beside <<<"$description"
    context=$work/$name
    root=$context/root
    mkdir -p "$root/etc" "$root/tmp" "$context/own$directory"
    path=$(find_program "$program")
    put "$root" "$path" "$there"
    if [[ -d $beside ]]; then
        mkdir -p "$root$(dirname "$beside")"
        cp -r "$beside" "$root$beside"
    fi
    path=$(find_program busybox)
    put "$root" "$path" /bin/busybox
    for applet in "${applets[@]}"; do
        ln -s busybox "$root/bin/$applet"
    done
    printf '%s\n' root:x:0:0::/:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$root/etc/passwd"
    printf '%s\n' root:x:0: nobody:x:65534: >"$root/etc/group"
    # Modes come from the context, and this machine's umask is no part of the image.
    chmod -R go=rX "$context"
    # What is mounted there takes its mode from here, when the container is started again.
    chmod 1777 "$root/tmp"
    cat >"$context/Dockerfile" <<DOCKERFILE
FROM scratch
COPY root/ /
COPY --chown=$user:$user own/ /
USER $user
WORKDIR $directory
ENTRYPOINT ["$there"]
DOCKERFILE
    image=bookmesh-stand-in/$name:local
    docker build --quiet --tag "$image" "$context" >/dev/null
    echo "$variable=$image"
}

names=("$@")
if ((${#names[@]} == 0)); then
    names=("${known[@]}")
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in "${names[@]}"; do
    build "$name"
done
