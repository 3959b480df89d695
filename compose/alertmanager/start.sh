#!/bin/sh
# Starts Alertmanager with the webhook that ALERT_WEBHOOK_URL names, or without any. The container's
# root is read-only: the finished configuration lies in CONFIG_DIR.
set -eu
config=${CONFIG_DIR:-/tmp}/alertmanager.yml
cat "$(dirname "$0")/alertmanager.yml" >"$config"
case ${ALERT_WEBHOOK_URL:-} in
'') ;;
*[\'\"\ ]* | *"
"*)
    echo "ALERT_WEBHOOK_URL must be one URL without quotes and spaces" >&2
    exit 2
    ;;
http://?* | https://?*)
    printf "    webhook_configs:\n      - url: '%s'\n" "$ALERT_WEBHOOK_URL" >>"$config"
    ;;
*)
    echo "ALERT_WEBHOOK_URL must begin with http:// or https://" >&2
    exit 2
    ;;
esac
exec "${ALERTMANAGER:-/bin/alertmanager}" --config.file="$config" "$@"
