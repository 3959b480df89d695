#!/usr/bin/env python3
"""Makes the dashboards: `dashboards.py` writes dashboards/*.json, `--check` says whether they are
what it would write. Change this file, not those."""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent / "dashboards"
RULES = HERE.parents[1] / "prometheus/rules/alerts.yml"
SOURCE = {"type": "prometheus", "uid": "bookmesh-prometheus"}
# Grafana 11's.
SCHEMA = 39
COLUMNS = 24

GREEN, YELLOW, RED = "green", "yellow", "red"
# What users ask for, as in the recorded series; streams and an operator's commands take their time.
REQUESTS = 'job="app-node",handler=~"$handler",handler!~"live|ready|health|metrics"'
ANSWERS = (
    'job="app-node",handler=~"$handler",handler!~"live|ready|health|metrics'
    '|events|racks_log_tail|racks_retire|racks_recover"'
)
NODES = 'job=~"$job"'
RACKS = 'rack=~"$rack"'

Panel = dict[str, Any]


def expression(alert: str) -> str:
    """What an alert asks for, so that a panel and the alert never disagree."""
    rules = RULES.read_text(encoding="utf-8")
    pattern = rf"^ +- alert: {alert}\n +expr: >-\n((?: {{10,}}.*\n)+)"
    found = re.search(pattern, rules, re.MULTILINE)
    if not found:
        sys.exit(f"the alert {alert} has no folded expression in {RULES}")
    return " ".join(found[1].split()).replace("( ", "(").replace(" )", ")")


def steps(*bounds: tuple[float, str], first: str = GREEN) -> dict[str, Any]:
    """Colours from bounds on upwards."""
    colours: list[dict[str, Any]] = [{"color": first, "value": None}]
    return {
        "mode": "absolute",
        "steps": colours + [{"color": color, "value": value} for value, color in bounds],
    }


def panel(
    kind: str,
    title: str,
    description: str,
    unit: str,
    targets: list[tuple[str, str]],
    thresholds: dict[str, Any] | None = None,
    **more: Any,
) -> Panel:
    """A panel; `targets` are expressions and what their series are called."""
    instant = kind in ("stat", "table")
    defaults = {
        "unit": unit,
        "thresholds": thresholds or steps(),
        "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
        "custom": {},
        **more.pop("defaults", {}),
    }
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                **({"format": kind} if kind in ("table", "heatmap") else {}),
            }
            for number, (expr, legend) in enumerate(targets)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        **more,
    }


def stat(
    title: str, description: str, unit: str, expr: str, thresholds: dict[str, Any], **more: Any
) -> Panel:
    options = {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    targets = [(expr, "")]
    return panel("stat", title, description, unit, targets, thresholds, options=options, **more)


def graph(
    title: str,
    description: str,
    unit: str,
    *targets: tuple[str, str],
    thresholds: dict[str, Any] | None = None,
    stacked: bool = False,
    most: float | None = None,
) -> Panel:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 20 if stacked else 0}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if thresholds:
        custom["thresholdsStyle"] = {"mode": "line"}
    defaults: dict[str, Any] = {"custom": custom, "min": 0}
    if most is not None:
        defaults["max"] = most
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, unit, list(targets), thresholds,
        defaults=defaults, options=options,
    )


def memory(title: str, description: str, nodes: str, who: str) -> Panel:
    """Memory of some nodes, against the container's limit."""
    return graph(
        title, description, "percentunit",
        (f"process_resident_memory_bytes{{{nodes}}} / "
         f"(process_memory_limit_bytes{{{nodes}}} > 0)", who),
        thresholds=steps((0.9, RED)), most=1,
    )


def cpu(title: str, description: str, nodes: str, who: str) -> Panel:
    """CPU of some nodes, against the container's limit."""
    return graph(
        title, description, "percentunit",
        (f"rate(process_cpu_seconds_total{{{nodes}}}[$__rate_interval]) / "
         f"(process_cpu_limit_cores{{{nodes}}} > 0)", who),
        thresholds=steps((0.9, RED)), most=1,
    )


def table(
    title: str, description: str, targets: list[tuple[str, str]], names: dict[str, str], **more: Any
) -> Panel:
    """Instant vectors side by side, joined by their labels; `names` are the columns, in order."""
    organize = {
        "excludeByName": {"Time": True},
        "includeByName": {name: True for name in names},
        "indexByName": {name: at for at, name in enumerate(names)},
        "renameByName": names,
    }
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": organize},
    ]
    return panel(
        "table", title, description, more.pop("unit", "short"), targets,
        transformations=transformations, options={"showHeader": True, "cellHeight": "sm"}, **more,
    )


def column(name: str, unit: str, thresholds: dict[str, Any] | None = None) -> dict[str, Any]:
    """How a table shows a column."""
    properties: list[dict[str, Any]] = [{"id": "unit", "value": unit}]
    if thresholds:
        properties.append({"id": "thresholds", "value": thresholds})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-background"}})
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def timeline(
    title: str, description: str, expr: str, legend: str, states: list[tuple[str, str]]
) -> Panel:
    """What state each of several was in; states are numbers from 0 on."""
    options = {
        str(number): {"text": text, "color": color, "index": number}
        for number, (text, color) in enumerate(states)
    }
    bounds = steps(*((at, color) for at, (_, color) in enumerate(states)), first=states[0][1])
    return panel(
        "state-timeline", title, description, "none", [(expr, legend)], bounds,
        defaults={"mappings": [{"type": "value", "options": options}],
                  "color": {"mode": "thresholds"}},
        options={"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    )


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    other: tuple[str, str],
    variables: list[dict[str, Any]],
    rows: list[tuple[str, int, list[Panel]]],
) -> dict[str, Any]:
    """Rows from top to bottom, each with a height and panels that share its width."""
    panels: list[Panel] = []
    top = 0
    for name, height, members in rows:
        row = {"type": "row", "title": name, "collapsed": False, "panels": []}
        panels.append(row | {"gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
        top += 1
        width, rest = divmod(COLUMNS, len(members))
        left = 0
        for number, member in enumerate(members):
            wide = width + (1 if number < rest else 0)
            panels.append(member | {"gridPos": {"x": left, "y": top, "w": wide, "h": height}})
            left += wide
        top += height
    for number, member in enumerate(panels, start=1):
        member["id"] = number
    other_uid, other_title = other
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["bookmesh"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables},
        "annotations": {"list": [{
            "name": "alerts", "enable": True, "iconColor": RED, "datasource": SOURCE,
            "expr": 'ALERTS{alertstate="firing",severity="critical"}',
            "titleFormat": "{{alertname}} {{job}} {{rack}}",
        }]},
        "links": [{
            "type": "link", "title": other_title, "url": f"/d/{other_uid}", "icon": "dashboard",
            "keepTime": True, "targetBlank": False, "asDropdown": False, "includeVars": False,
            "tags": [], "tooltip": "",
        }],
        "panels": panels,
    }


def mesh() -> dict[str, Any]:
    bad_from_one = steps((1, RED))
    well = [
        stat("Racks without a leader", "Racks, and the registry, that nobody leads: they can't be "
             "written.", "none",
             f"count({expression('RackWithoutLeader')}) or vector(0)", bad_from_one),
        stat("Voters missing", "What racks lack of the voters that they aim for; a small rack may "
             "be meant so.", "none",
             "sum(clamp_min(job_rack:voters_wanted:leader - job_rack:voters_answering:leader, 0))",
             steps((1, YELLOW))),
        stat("Alerts firing", "All severities; which they are stands below.", "none",
             'count(ALERTS{alertstate="firing"}) or vector(0)', bad_from_one),
        stat("Requests that fail", "Share of 5xx within five minutes. The dashboard HTTP has more.",
             "percentunit", "max(job:http_errors:ratio5m) or vector(0)",
             steps((0.01, YELLOW), (0.1, RED))),
        stat("Breakers not closed", "Racks of books whose orders are refused.", "none",
             "count(max by (dependency) (circuit_breaker_state) > 0) or vector(0)", bad_from_one),
        stat("Furthest behind", "The member that lags most.", "s", "max(rack_lag_seconds)",
             steps((2, YELLOW), (10, RED))),
        stat("Fullest disk", "Share of the file system that is used.", "percentunit",
             "1 - min(storage_free_bytes / storage_total_bytes)",
             steps((0.75, YELLOW), (0.9, RED))),
        stat("Nodes that answer", "Orchestrators, workers and gateways.", "none",
             'sum(up{job=~"wrk-.+|app-node"})', steps((1, GREEN), first=RED)),
    ]
    racks = [
        table(
            "Racks", "One line a rack, as its leader sees it.",
            [
                (f"max by (rack) (job_rack:leaders:sum{{{RACKS}}})", ""),
                (f"max by (rack) (job_rack:voters_answering:leader{{{RACKS}}})", ""),
                (f"max by (rack) (job_rack:voters_wanted:leader{{{RACKS}}})", ""),
                (f"max by (rack) (rack_things{{{RACKS}}})", ""),
                (f"max by (rack) (job_rack:log_committed:max{{{RACKS}}})", ""),
            ],
            {"rack": "rack", "Value #A": "leaders", "Value #B": "voters answering",
             "Value #C": "wanted", "Value #D": "things", "Value #E": "log entries"},
            overrides=[column("leaders", "none", steps((1, GREEN), first=RED))],
        ),
        panel("table", "Firing now", "What each means and what to do stands in "
              "docs/troubleshoot.md, under the alert's name.", "none",
              [('count by (severity, alertname, job, rack, instance) (ALERTS{alertstate="firing"})',
                "")],
              options={"showHeader": True, "cellHeight": "sm"},
              transformations=[{"id": "organize", "options": {
                  "excludeByName": {"Time": True, "Value": True, "Value #A": True}}}]),
    ]
    voters = [
        graph("Voters that answer", "Dashed: what the rack aims for.", "none",
              (f"job_rack:voters_answering:leader{{{RACKS}}}", "{{rack}}"),
              (f"job_rack:voters_wanted:leader{{{RACKS}}}", "{{rack}} wanted")),
        timeline("Leaders", "Whether each rack has one.",
                 f"clamp_max(max by (rack) (job_rack:leaders:sum{{{RACKS}}}), 1)", "{{rack}}",
                 [("none", RED), ("leads", GREEN)]),
        graph("Elections", "Within 15 minutes. Each start and stop of a leader makes one.", "none",
              (f"job_rack:term:max{{{RACKS}}} - "
               f"min_over_time(job_rack:term:max{{{RACKS}}}[15m])", "{{rack}}"),
              thresholds=steps((5, RED))),
    ]
    voters[0]["fieldConfig"]["overrides"] = [{
        "matcher": {"id": "byRegexp", "options": ".* wanted"},
        "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}}],
    }]
    logs = [
        graph("Behind the leader", "How old a member's view may be.", "s",
              (f"rack_lag_seconds{{{RACKS}}}", "{{rack}} {{instance}}"),
              thresholds=steps((10, RED))),
        graph("Log growth", "Entries a second; one holds all commands that waited.", "short",
              (f"clamp_min(deriv(job_rack:log_committed:max{{{RACKS}}}[$__rate_interval]), 0)",
               "{{rack}}")),
        graph("Things", "Books and orders.", "short",
              (f"max by (rack) (rack_things{{{RACKS}}})", "{{rack}}")),
        timeline("Breakers", "Of order workers, towards racks of books.",
                 "max by (dependency) (circuit_breaker_state)", "{{dependency}}",
                 [("closed", GREEN), ("half-open", YELLOW), ("open", RED)]),
    ]
    disks = [
        graph("Sync of the disk, P99", "From 200 ms on followers are too late.", "s",
              (f"job_instance:storage_flush_seconds:p99_5m{{{NODES}}}", "{{job}} {{instance}}"),
              thresholds=steps((0.1, RED))),
        graph("Syncs", "A second. All that wait share one.", "short",
              (f"rate(storage_flush_seconds_count{{{NODES}}}[$__rate_interval])",
               "{{job}} {{instance}}")),
        graph("Free on the disk", "Below 64 MiB no entry is taken.", "bytes",
              (f"min by (job) (storage_free_bytes{{{NODES}}})", "{{job}}"),
              thresholds=steps((128 * 1024 * 1024, GREEN), first=RED)),
    ]
    of_limit = "Share of the container's limit"
    nodes = [
        memory("Memory", f"{of_limit}, where there is one.", NODES, "{{job}} {{instance}}"),
        cpu("CPU", f"{of_limit}, where there is one.", NODES, "{{job}} {{instance}}"),
        graph("Peers connected", "As each node counts them: all should know all.", "none",
              (f"mesh_active_connections{{{NODES}}}", "{{job}} {{instance}}")),
        graph("Host's memory available", "Share of all.", "percentunit",
              ("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
              thresholds=steps((0.1, GREEN), first=RED), most=1),
    ]
    calls = [
        graph("Calls between nodes", "A second, by what became of them.", "reqps",
              (f"sum by (outcome) (rate(mesh_requests_total{{{NODES}}}[$__rate_interval])) > 0",
               "{{outcome}}"), stacked=True),
        graph("Calls, P99", "Time of the calls that nodes made.", "s",
              ("histogram_quantile(0.99, sum by (job, le) "
               f"(rate(mesh_latency_seconds_bucket{{{NODES}}}[$__rate_interval])))", "{{job}}")),
        graph("Bytes between nodes", "A second.", "Bps",
              ("sum by (job, direction) "
               f"(rate(mesh_bytes_transferred_total{{{NODES}}}[$__rate_interval]))",
               "{{job}} {{direction}}")),
        graph("Refused and lost", "Connections that were not admitted, breakers that opened, log "
              "lines that could not be written; a second.", "short",
              ("sum by (job) "
               f'(rate(mesh_errors_total{{{NODES},kind="refused"}}[$__rate_interval]))',
               "{{job}} refused"),
              (f"sum by (dependency) (rate(circuit_breaker_opened_total{{{NODES}}}"
               "[$__rate_interval]))", "{{dependency}} opened"),
              (f"sum by (job) (rate(log_lines_dropped_total{{{NODES}}}[$__rate_interval]))",
               "{{job}} lines lost")),
    ]
    who = [
        table(
            "Nodes", "Who is who: an address is a container, a peer is a slot with its data.",
            [(f"(time() - process_start_time_seconds{{{NODES}}}) "
              "* on (job, instance) group_left (role, peer, version) bookmesh_info", "")],
            {"job": "service", "instance": "address", "role": "role", "peer": "peer",
             "version": "version", "Value": "up for"},
            overrides=[column("up for", "s")],
        ),
    ]
    return dashboard(
        "bookmesh-mesh", "Bookmesh: the mesh",
        "Is it well? Racks, their members and logs, disks, nodes; the worst first.",
        ("bookmesh-http", "HTTP"),
        [
            variable("rack", "rack", "label_values(rack_leader, rack)"),
            variable("job", "service", 'label_values(up{job=~"wrk-.+|app-node"}, job)'),
        ],
        [
            ("Is it well?", 4, well),
            ("Racks, and what is wrong", 7, racks),
            ("Who leads and who answers", 7, voters),
            ("Logs", 7, logs),
            ("Disks", 7, disks),
            ("Nodes, against their limits", 7, nodes),
            ("Between nodes", 7, calls),
            ("Who is who", 8, who),
        ],
    )


def quantile(of: float, by: str = "le") -> str:
    return (
        f"histogram_quantile({of}, sum by ({by}) "
        f"(rate(http_request_duration_seconds_bucket{{{ANSWERS}}}[$__rate_interval])))"
    )


def http() -> dict[str, Any]:
    def rate(by: str, more: str = "") -> str:
        return f"sum by ({by}) (rate(http_requests_total{{{REQUESTS}{more}}}[$__rate_interval]))"

    slow = steps((0.25, YELLOW), (1, RED))
    gateways = 'job="app-node"'
    signals = [
        stat("Traffic", "Requests a second over all gateways, five minutes.", "reqps",
             "sum(job:http_requests:rate5m)", steps(first="blue")),
        stat("Errors", "Share of 5xx within five minutes.", "percentunit",
             "max(job:http_errors:ratio5m) or vector(0)", steps((0.01, YELLOW), (0.1, RED))),
        stat("Latency, P95 of the slowest", "Of all handlers, within five minutes.", "s",
             "max(job_handler:http_request_duration_seconds:p95_5m >= 0)", slow),
        stat("Saturation: CPU", "The busiest gateway, against its limit.", "percentunit",
             f"max(rate(process_cpu_seconds_total{{{gateways}}}[$__rate_interval]) / "
             f"(process_cpu_limit_cores{{{gateways}}} > 0))", steps((0.7, YELLOW), (0.9, RED))),
        stat("Gateways", "That answer.", "none", f"sum(up{{{gateways}}})",
             steps((1, GREEN), first=RED)),
    ]
    traffic = [
        graph("Traffic by request", "Answers a second, by handler.", "reqps",
              (rate("handler") + " > 0", "{{handler}}"), stacked=True),
        graph("Traffic by outcome", "Answers a second, by class of status.", "reqps",
              (rate("status_class") + " > 0", "{{status_class}}"), stacked=True),
    ]
    errors = [
        graph("Share of failures", "5xx of all answers.", "percentunit",
              ("job:http_errors:ratio5m", "5xx"), thresholds=steps((0.1, RED)), most=1),
        graph("Failures by request", "5xx a second: it is not the client's fault.", "reqps",
              (rate("handler", ',status_class="5xx"'), "{{handler}}")),
        graph("Refusals by request", "4xx a second: the client asked for what can't be.", "reqps",
              (rate("handler", ',status_class="4xx"'), "{{handler}}")),
    ]
    latency = [
        graph("Latency", "Until an answer's head, all requests but streams.", "s",
              (quantile(0.5), "P50"), (quantile(0.95), "P95"), (quantile(0.99), "P99"),
              thresholds=steps((1, RED))),
        graph("Latency by request, P95", "By handler.", "s",
              (quantile(0.95, "handler, le"), "{{handler}}"), thresholds=steps((1, RED))),
        panel("heatmap", "Where the time goes", "How many requests took how long.", "s",
              [(f"sum by (le) (increase(http_request_duration_seconds_bucket{{{ANSWERS}}}"
                "[$__rate_interval]))", "{{le}}")],
              options={
                  "calculate": False,
                  "cellGap": 1,
                  "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                  "yAxis": {"unit": "s"},
              }),
    ]
    saturation = [
        cpu("CPU of gateways", "Share of the limit.", gateways, "{{instance}}"),
        memory("Memory of gateways", "Share of the limit.", gateways, "{{instance}}"),
        graph("Refused at the edge", "A second: over a limit, or too slow to read.", "short",
              (f"rate(http_rate_limited_total{{{gateways}}}[$__rate_interval])",
               "{{instance}} rate limited"),
              (f"rate(http_connections_refused_total{{{gateways}}}[$__rate_interval])",
               "{{instance}} connections refused"),
              (f"rate(http_slow_readers_cut_total{{{gateways}}}[$__rate_interval])",
               "{{instance}} slow readers cut")),
        graph("Open files", "Connections are files; share of what is allowed.", "percentunit",
              (f"process_open_fds{{{gateways}}} / process_max_fds{{{gateways}}}", "{{instance}}"),
              thresholds=steps((0.8, RED)), most=1),
    ]
    return dashboard(
        "bookmesh-http", "Bookmesh: HTTP",
        "What users get: traffic, errors, latency, saturation. Probes are left out.",
        ("bookmesh-mesh", "The mesh"),
        [variable("handler", "request",
                  "label_values(job_handler_class:http_requests:rate5m, handler)")],
        [
            ("Golden signals", 4, signals),
            ("How much", 8, traffic),
            ("What fails", 8, errors),
            ("How long it takes", 8, latency),
            ("How full", 8, saturation),
        ],
    )


def main() -> int:
    differing = []
    for name, made in (("mesh.json", mesh()), ("http.json", http())):
        text = json.dumps(made, indent=2) + "\n"
        path = HERE / name
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != text:
                differing.append(name)
        else:
            path.write_text(text)
    if differing:
        print(f"not up to date: {', '.join(differing)}; run {Path(__file__).name}", file=sys.stderr)
        return 1
    print("the dashboards are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
