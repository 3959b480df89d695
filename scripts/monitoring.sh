#!/usr/bin/env bash
# Holds the monitoring against what it watches: rules and their unit tests, dashboards, and the main
# alerts, with a real Prometheus and Alertmanager, on a real mesh of processes. All on loopback.
#
#   scripts/monitoring.sh               all of it, some four minutes
#   scripts/monitoring.sh files         what needs no mesh: one
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in promtool amtool unshare; do
    command -v "$program" >/dev/null || missing+=("$program")
done
# Debian's packages put a prefix before these two names.
command -v prometheus >/dev/null || missing+=(prometheus)
command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null ||
    missing+=(alertmanager)
command -v prometheus-node-exporter >/dev/null || command -v node_exporter >/dev/null ||
    missing+=(node-exporter)
if ((${#missing[@]} > 0)); then
    echo "not found: ${missing[*]}. On Debian and Ubuntu they are in the packages prometheus," \
        "prometheus-alertmanager, prometheus-node-exporter and util-linux" >&2
    exit 1
fi

pattern='test_monitoring_*.py'
case ${1:-all} in
all) [[ -n ${BOOKMESH_BIN:-} ]] || cargo build --package bookmesh-node ;;
files) pattern='test_monitoring_files_*.py' ;;
*)
    echo "usage: scripts/monitoring.sh [files]" >&2
    exit 2
    ;;
esac
python3 -m unittest discover --verbose --start-directory compose/tests --pattern "$pattern"
