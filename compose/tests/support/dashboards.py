"""The shipped dashboards: their panels, and what these ask Prometheus for."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .shipped import DASHBOARDS, sped_up

# What Grafana makes of its own variables at 15 s between scrapes, and of ours with all selected.
VARIABLES = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}


def dashboards() -> dict[str, dict[str, Any]]:
    """All of them, by the name of their file."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, also those of rows that are folded."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def filled_in(expression: str, dashboard: dict[str, Any]) -> str:
    """An expression as Grafana sends it when all values of each variable are selected."""
    values = VARIABLES | {name: ".+" for name in variables(dashboard)}

    def value(found: re.Match[str]) -> str:
        return values[found[1] or found[2]]

    # What begins with a digit is no variable but a group of label_replace.
    return re.sub(r"\$(?:([A-Za-z_]\w*)|\{(\w+)[^}]*\})", value, expression)


def queries() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression, filled in and sped up."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel.get("targets", []):
                where = f"{name}: {panel['title']}: {target['refId']}"
                yield where, sped_up(filled_in(target["expr"], dashboard))
        for variable in variables(dashboard).values():
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked, f"{name}: what is variable {variable['name']} asked for by?"
            yield f"{name}: variable {variable['name']}", f"count by ({asked[2]}) ({asked[1]})"
