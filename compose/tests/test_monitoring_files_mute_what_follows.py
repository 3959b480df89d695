"""What Alertmanager keeps to itself when another alert says it all, and what it does not: with the
shipped configuration, and alerts as the rules make them."""

import itertools
import os
import re
import tempfile
import unittest
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from support import shipped
from support.client import ask
from support.processes import Process
from support.waiting import free_port, until
from support.watch import program

NAMES = re.compile(r'alertname=~?"([^"]+)"')
# An alert: its name, and the labels that tell where.
Alert = dict[str, str]


def alert(name: str, **labels: str) -> Alert:
    return {"alertname": name} | labels


def of_users() -> list[Alert]:
    """What users feel, whatever it comes from."""
    names = ("HighErrorRate", "HighLatency", "ThroughputCollapsed")
    return [alert(name, job="app-node") for name in names]


def of_rack(job: str, rack: str) -> list[Alert]:
    """What members tell of a rack."""
    names = ("RackUnderReplicated", "LeaderFlapping", "ReplicaLag", "ReplicaNotReady")
    return [alert(name, job=job, rack=rack, instance="10.0.0.3:8081") for name in names]


def of_disk(job: str, instance: str) -> list[Alert]:
    return [alert(name, job=job, instance=instance)
            for name in ("DiskNearlyFull", "DiskFillsSoon", "ReplicaNotReady")]


# These mute others.
LOUD = ("ServiceDown", "RackWithoutLeader", "StorageFull", "DiskNearlyFull")
BREAKER = alert("BreakerOpen", dependency="book-rack-001", rack="book-rack-001")
BREAKER_2 = alert("BreakerOpen", dependency="book-rack-002", rack="book-rack-002")
LEADERLESS = alert("RackWithoutLeader", job="wrk-book", rack="book-rack-001")
ORDERS_LEADERLESS = alert("RackWithoutLeader", job="wrk-order", rack="order-rack-001")
# The orchestrators are a group as a rack is.
REGISTRY_LEADERLESS = alert("RackWithoutLeader", job="wrk-ork", rack="registry")
DISK = {"job": "wrk-book", "instance": "10.0.0.3:8081"}

# What fires, what it mutes, and what it says nothing of.
CASES: list[tuple[Alert, list[Alert], list[Alert]]] = [
    (
        alert("ServiceDown", job="wrk-book"),
        [alert("InstanceDown", **DISK), LEADERLESS, *of_rack("wrk-book", "book-rack-001"),
         *of_users(), BREAKER],
        [alert("InstanceDown", job="wrk-order", instance="10.0.0.5:8081"), ORDERS_LEADERLESS,
         *of_rack("wrk-order", "order-rack-001"), alert("DiskNearlyFull", **DISK)],
    ),
    (
        alert("ServiceDown", job="wrk-order"),
        [ORDERS_LEADERLESS, *of_rack("wrk-order", "order-rack-001"), *of_users()],
        [LEADERLESS, *of_rack("wrk-book", "book-rack-001"), BREAKER],
    ),
    (
        alert("ServiceDown", job="app-node"),
        [alert("InstanceDown", job="app-node", instance="10.0.0.6:3000"), *of_users()],
        [alert("InstanceDown", **DISK), LEADERLESS, BREAKER],
    ),
    # Without the registry all that is there goes on: who can't read has another trouble.
    (
        alert("ServiceDown", job="wrk-ork"),
        [alert("InstanceDown", job="wrk-ork", instance="10.0.0.2:8080"), REGISTRY_LEADERLESS,
         *of_rack("wrk-ork", "registry")],
        [*of_users(), BREAKER, LEADERLESS, *of_rack("wrk-book", "book-rack-001")],
    ),
    (
        REGISTRY_LEADERLESS,
        of_rack("wrk-ork", "registry"),
        [*of_users(), BREAKER, LEADERLESS, *of_rack("wrk-book", "book-rack-001")],
    ),
    (
        LEADERLESS,
        [*of_rack("wrk-book", "book-rack-001"), BREAKER, *of_users()],
        [*of_rack("wrk-book", "book-rack-002"), BREAKER_2, ORDERS_LEADERLESS,
         alert("InstanceDown", **DISK)],
    ),
    (
        alert("StorageFull", **DISK),
        of_disk(**DISK),
        [*of_disk("wrk-book", "10.0.0.4:8081"), *of_disk("wrk-order", "10.0.0.3:8081"), LEADERLESS],
    ),
    (
        alert("DiskNearlyFull", **DISK),
        [alert("DiskFillsSoon", **DISK)],
        [alert("DiskFillsSoon", job="wrk-book", instance="10.0.0.4:8081"),
         alert("DiskFillsSoon", job="wrk-order", instance="10.0.0.3:8081"), LEADERLESS],
    ),
]


def key(labels: Alert) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


class Alertmanager:
    """One that was told of nothing yet."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        env = {
            "PATH": os.environ["PATH"], "CONFIG_DIR": str(directory),
            "ALERTMANAGER": program("alertmanager"),
        }
        self.process = Process("alertmanager", directory, [
            "sh", str(shipped.ALERTMANAGER / "start.sh"),
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
            f"--storage.path={directory}/data",
        ], env)
        until("Alertmanager is ready", self._is_ready)

    def _is_ready(self) -> bool:
        self.process.must_run()
        return ask("GET", f"{self.url}/-/ready").status == 200

    def fire(self, alerts: Iterable[Alert]) -> None:
        # As Prometheus says it: for some time, unless it says it again.
        ends = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
        told: list[Any] = [{"labels": labels, "endsAt": ends} for labels in alerts]
        answer = ask("POST", f"{self.url}/api/v2/alerts", told)
        assert answer.status == 200, answer.body

    def muted(self) -> dict[tuple[tuple[str, str], ...], bool]:
        """Of each alert that it knows, whether it tells nobody."""
        known = ask("GET", f"{self.url}/api/v2/alerts").json()
        return {key(found["labels"]): bool(found["status"]["inhibitedBy"]) for found in known}


class WhatFollowsIsMuted(unittest.TestCase):
    def check(self, source: Alert, follows: list[Alert], others: list[Alert]) -> None:
        """Fires all of it, the source first, at an Alertmanager of its own."""
        with tempfile.TemporaryDirectory() as name:
            alertmanager = Alertmanager(Path(name))
            try:
                alertmanager.fire([source])
                alertmanager.fire(follows)

                def all_muted() -> bool:
                    muted = alertmanager.muted()
                    left = [labels for labels in follows if not muted[key(labels)]]
                    self.assertEqual(left, [])
                    return True

                until(f"{source} mutes what follows from it", all_muted)
                # So it is known there by now.
                alertmanager.fire(others)
                muted = alertmanager.muted()
                for labels in (source, *others):
                    self.assertFalse(muted[key(labels)], f"{source} mutes {labels}")
            finally:
                alertmanager.process.end()

    def test_and_nothing_else_is(self) -> None:
        for source, follows, others in CASES:
            with self.subTest(" ".join(source.values())):
                quiet = [labels for labels in follows if labels["alertname"] not in LOUD]
                self.check(
                    source, quiet, [labels for labels in others if labels["alertname"] not in LOUD]
                )
                # One that mutes others too is tried apart.
                for labels in follows:
                    if labels not in quiet:
                        self.check(source, [labels], [])
                for labels in others:
                    if labels["alertname"] in LOUD:
                        self.check(source, quiet[:1], [labels])

    def test_every_pair_of_the_configuration_is_tried(self) -> None:
        text = (shipped.ALERTMANAGER / "alertmanager.yml").read_text()
        rules = text.split("\ninhibit_rules:\n")[1].split("\nreceivers:\n")[0]
        tried = {
            (source["alertname"], follows["alertname"])
            for source, all_follow, _ in CASES for follows in all_follow
        }
        pairs = set()
        for rule in rules.split("  - source_matchers:")[1:]:
            sources, targets = (
                [name for names in NAMES.findall(part) for name in names.split("|")]
                for part in rule.split("target_matchers:")
            )
            pairs |= set(itertools.product(sources, targets))
        self.assertGreater(len(pairs), 20)
        self.assertEqual(pairs - tried, set())


if __name__ == "__main__":
    unittest.main()
