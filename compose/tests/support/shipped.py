"""The shipped configuration of Prometheus and Alertmanager, made to run in a test: addresses and
discovery replaced, and all durations divided by one number. Nothing else of it changes."""

import json
import re
from pathlib import Path

COMPOSE = Path(__file__).resolve().parents[2]
PROMETHEUS, ALERTMANAGER = COMPOSE / "prometheus", COMPOSE / "alertmanager"
DASHBOARDS = COMPOSE / "grafana/dashboards"

# 15 s between scrapes become one, and five minutes twenty seconds.
SPEED = 15

UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Of a setting (`for: 5m`), a range (`[5m]`, `[15m:]`) or an offset.
DURATION = re.compile(
    r"(?P<before>\b(?:for|interval|\w+_interval|\w+_wait|\w+_timeout): |\[|\boffset )"
    r"(?P<number>\d+)(?P<unit>[smhd])\b"
)


def sped_up(text: str) -> str:
    """A configuration, rules or an expression with all durations divided by SPEED."""

    def shorter(found: re.Match[str]) -> str:
        # No scrape is waited for longer than until the next one.
        least = 1_000
        ms = max(least, int(found["number"]) * UNITS_MS[found["unit"]] // SPEED)
        return f"{found['before']}{ms}ms"

    # How far ahead a prediction looks is a number of seconds.
    text = text.replace(", 24 * 3600)", f", 24 * 3600 / {SPEED})")
    return DURATION.sub(shorter, text)


def replaced(text: str, shipped: str, here: str, times: int) -> str:
    """Text with something replaced that has to be there so many times."""
    found = text.count(shipped)
    assert found == times, f"{shipped!r} stands {found} times in the configuration, not {times}"
    return text.replace(shipped, here)


DISCOVERY = re.compile(
    r"(?P<job>  - job_name: (?P<name>\S+)\n)    dns_sd_configs:\n(?:      .*\n)+"
)


def prometheus_configuration(directory: Path, ports: dict[str, int]) -> Path:
    """Writes configuration and rules for Prometheus. The mesh's targets are read from files."""
    text = (PROMETHEUS / "prometheus.yml").read_text()

    def from_file(found: re.Match[str]) -> str:
        file = directory / f"{found['name']}.json"
        return f"{found['job']}    file_sd_configs:\n      - files: [{file}]\n"

    text, discoveries = DISCOVERY.subn(from_file, text)
    assert discoveries == 4, f"{discoveries} jobs are found by DNS, not 4"
    for shipped, job, times in (
        ("localhost:9090", "prometheus", 1),
        ("alertmanager:9093", "alertmanager", 2),
        ("node-exporter:9100", "node-exporter", 1),
    ):
        text = replaced(text, f"[{shipped}]", f"['127.0.0.1:{ports[job]}']", times)
    (directory / "rules").mkdir()
    for rules in (PROMETHEUS / "rules").glob("*.yml"):
        (directory / "rules" / rules.name).write_text(sped_up(rules.read_text()))
    configuration = directory / "prometheus.yml"
    configuration.write_text(sped_up(text))
    return configuration


def write_targets(directory: Path, targets: dict[str, list[str]]) -> None:
    """Tells Prometheus where a mesh's nodes are; it looks when a file is replaced."""
    for job, addresses in targets.items():
        new = directory / f"{job}.json.new"
        new.write_text(json.dumps([{"targets": addresses}] if addresses else []))
        new.rename(directory / f"{job}.json")


def alertmanager_configuration(directory: Path) -> Path:
    """Writes Alertmanager's configuration and what starts it; returns the latter."""
    shipped = (ALERTMANAGER / "alertmanager.yml").read_text()
    (directory / "alertmanager.yml").write_text(sped_up(shipped))
    start = directory / "start.sh"
    start.write_text((ALERTMANAGER / "start.sh").read_text())
    return start


def collectors() -> list[str]:
    """What node-exporter is told to look at."""
    compose = (COMPOSE / "compose.yaml").read_text()
    found = re.findall(r"^ +- (--collector\.\S+)$", compose, flags=re.MULTILINE)
    assert found, "compose.yaml has no --collector"
    return found


def alerts() -> dict[str, str]:
    """Each alert's text in the rules, by its name."""
    text = (PROMETHEUS / "rules/alerts.yml").read_text()
    parts = re.split(r"^ *- alert: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def recorded() -> list[str]:
    """The names of all recorded series."""
    text = (PROMETHEUS / "rules/recording.yml").read_text()
    return re.findall(r"^ *- record: (\S+)$", text, flags=re.MULTILINE)


def unit_tests() -> str:
    """All unit tests of rules."""
    return "\n".join(path.read_text() for path in sorted((PROMETHEUS / "tests").glob("*.yml")))
