"""What can be said of the monitoring's files by looking at them: they are understood by the tools
that read them, and nothing is left out."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import dashboards, promql, shipped
from support.processes import REPOSITORY

GRAFANA = shipped.COMPOSE / "grafana"
TROUBLESHOOT = REPOSITORY / "docs/troubleshoot.md"
OBSERVE = REPOSITORY / "docs/observe.md"
# Of others: of Prometheus, Alertmanager, node-exporter, and what Prometheus makes itself.
FOREIGN = ("up", "ALERTS", "prometheus_", "alertmanager_", "node_", "process_", "scrape_")


def succeed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def annotation(alert: str, name: str) -> str:
    """The text of an annotation, folded as YAML does."""
    found = re.search(rf"^          {name}: (>-\n(?:            .*\n)+|.*\n)", alert, re.MULTILINE)
    assert found, f"no {name} in {alert}"
    return " ".join(found[1].removeprefix(">-").split()).strip('"')


class Rules(unittest.TestCase):
    def test_promtool_takes_configuration_and_rules(self) -> None:
        succeed("promtool", "check", "config", str(shipped.PROMETHEUS / "prometheus.yml"))

    def test_they_fire_and_resolve_as_their_unit_tests_say(self) -> None:
        tests = sorted(map(str, (shipped.PROMETHEUS / "tests").glob("*.yml")))
        self.assertGreater(len(tests), 3)
        succeed("promtool", "test", "rules", *tests)

    def test_every_alert_is_seen_to_fire_and_not_to_fire(self) -> None:
        tests = shipped.unit_tests()
        for name in shipped.alerts():
            with self.subTest(name):
                fires = tests.count(f'labels: ALERTS{{alertname="{name}"')
                self.assertGreater(fires, 0, "no unit test sees it fire")
                # By its anchor, or in a count.
                quiet = re.findall(rf"expr: (?:\*{name}|&{name} '[^']*')\}}\n", tests)
                quiet += re.findall(rf"expr: count_over_time\(ALERTS.alertname=\"{name}\"", tests)
                self.assertGreater(len(quiet), 1, "no unit test sees it not fire, before and after")

    def test_every_recorded_series_has_a_unit_test(self) -> None:
        tests = shipped.unit_tests()
        for name in shipped.recorded():
            with self.subTest(name):
                self.assertRegex(tests, rf"expr: .*{name}\b")

    def test_alerts_say_what_to_do(self) -> None:
        for name, alert in shipped.alerts().items():
            with self.subTest(name):
                self.assertRegex(alert, r"\n        for: \d+[smh]\n")
                self.assertRegex(alert, r"labels: \{severity: (critical|warning)\}")
                self.assertLessEqual(len(annotation(alert, "summary")), 100)
                self.assertGreater(len(annotation(alert, "description")), 80)
                runbook = f"docs/troubleshoot.md#{name.lower()}"
                self.assertEqual(annotation(alert, "runbook"), runbook)

    def test_annotations_use_labels_that_the_alert_has(self) -> None:
        tests = shipped.unit_tests()
        for name, alert in shipped.alerts().items():
            has: set[str] = set()
            for labels in re.findall(rf'labels: ALERTS\{{alertname="{name}",(.*)\}}\n', tests):
                has |= set(re.findall(r"(\w+)=", labels))
            for label in re.findall(r"\$labels\.(\w+)", alert):
                with self.subTest(name, label=label):
                    self.assertIn(label, has)

    def test_every_alert_is_in_the_runbook_and_in_the_table(self) -> None:
        anchors = set()
        for heading in re.findall(r"^#+ (.+)$", TROUBLESHOOT.read_text(), re.MULTILINE):
            anchors.add(re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-"))
        anchors |= set(re.findall(r'<a (?:id|name)="([^"]+)"', TROUBLESHOOT.read_text()))
        for name in shipped.alerts():
            with self.subTest(name):
                self.assertIn(f"`{name}`", OBSERVE.read_text())
                self.assertIn(name.lower(), anchors)

    def test_the_table_says_how_bad_it_is_and_how_long_it_waits(self) -> None:
        for name, alert in shipped.alerts().items():
            with self.subTest(name):
                critical = " (critical)" if "severity: critical" in alert else ""
                wait = re.search(r"\n        for: (\d+)([smh])\n", alert)
                row = re.escape(f"| `{name}`{critical} | ")
                self.assertRegex(OBSERVE.read_text(), rf"{row}[^|]+\| {wait[1]} {wait[2]} \|")

    def test_every_metric_that_is_asked_for_is_documented(self) -> None:
        documented = set(re.findall(r"`(\w+)`", OBSERVE.read_text())) | set(shipped.recorded())
        asked = "\n".join(expression for _, expression in dashboards.queries())
        for path in (shipped.PROMETHEUS / "rules").glob("*.yml"):
            rules = path.read_text()
            folded = re.findall(r"expr: (?:>-\n((?:          .*\n)+)|(.*)\n)", rules)
            asked += "\n".join("".join(one) for one in folded)
        for selector in promql.selectors(asked):
            name = re.sub(r"_(bucket|count|sum)$", "", selector.split("{")[0])
            if not name.startswith(FOREIGN):
                with self.subTest(name):
                    self.assertIn(name, documented)


class SpeedingUp(unittest.TestCase):
    def test_it_divides_every_duration_and_nothing_else(self) -> None:
        rule = "for: 5m\nexpr: a[15m:] offset 1h + 5 * rate(b_5m{c='10m'}[30s])"
        faster = "for: 20000ms\nexpr: a[60000ms:] offset 240000ms + 5 * rate(b_5m{c='10m'}[2000ms])"
        self.assertEqual(shipped.sped_up(rule), faster)
        for name, alert in shipped.alerts().items():
            with self.subTest(name):
                left = re.findall(r"(?:for: |\[|offset )\d+[smhd]\b", shipped.sped_up(alert))
                self.assertEqual(left, [])


class Alertmanager(unittest.TestCase):
    def start(self, directory: Path, url: str | None) -> subprocess.CompletedProcess[str]:
        """Runs start.sh with a program that only shows its configuration."""
        show = directory / "show"
        show.write_text('#!/bin/sh\ncat "${1#--config.file=}"\n')
        show.chmod(0o755)
        env = {"PATH": "/usr/bin:/bin", "CONFIG_DIR": str(directory), "ALERTMANAGER": str(show)}
        if url is not None:
            env["ALERT_WEBHOOK_URL"] = url
        return subprocess.run(
            ["sh", str(shipped.ALERTMANAGER / "start.sh")],
            env=env, capture_output=True, text=True, timeout=30, check=False,
        )

    def test_amtool_takes_it_with_a_webhook_and_without(self) -> None:
        for url in (None, "", "https://alerts.example/hook?token=a%20b&c=d"):
            with self.subTest(url), tempfile.TemporaryDirectory() as name:
                done = self.start(Path(name), url)
                self.assertEqual(done.returncode, 0, done.stderr)
                config = Path(name) / "configuration.yml"
                config.write_text(done.stdout)
                succeed("amtool", "check-config", str(config))
                self.assertEqual("webhook_configs" in done.stdout, bool(url))
                self.assertIn(url or "receiver: operators", done.stdout)

    def test_a_webhook_that_is_no_url_is_refused(self) -> None:
        for url in ("alerts.example", "http://", "http://a b", "http://a'b", "http://a\nb"):
            with self.subTest(url), tempfile.TemporaryDirectory() as name:
                done = self.start(Path(name), url)
                self.assertEqual(done.returncode, 2)
                self.assertIn("ALERT_WEBHOOK_URL", done.stderr)

    def test_it_mutes_only_alerts_that_there_are(self) -> None:
        known = set(shipped.alerts())
        text = (shipped.ALERTMANAGER / "alertmanager.yml").read_text()
        for names in re.findall(r'alertname=~?"([^"]+)"', text):
            for name in names.split("|"):
                with self.subTest(name):
                    self.assertIn(name, known)


class Dashboards(unittest.TestCase):
    def setUp(self) -> None:
        self.dashboards = dashboards.dashboards()
        self.assertEqual(sorted(self.dashboards), ["http.json", "mesh.json"])

    def test_they_are_what_their_source_makes(self) -> None:
        made = succeed("python3", str(GRAFANA / "dashboards.py"), "--check")
        self.assertIn("up to date", made)

    def test_ids_are_unique_and_titles_tell_panels_apart(self) -> None:
        uids = [dashboard["uid"] for dashboard in self.dashboards.values()]
        self.assertEqual(len(set(uids)), len(uids))
        for name, dashboard in self.dashboards.items():
            with self.subTest(name):
                all_panels = list(dashboards.panels(dashboard))
                for key in ("id", "title"):
                    values = [panel[key] for panel in all_panels]
                    self.assertEqual(len(set(values)), len(values), key)

    def test_panels_ask_the_provisioned_source(self) -> None:
        source = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text()
        uid = re.search(r"^ *uid: (\S+)$", source, re.MULTILINE)
        self.assertIsNotNone(uid)
        for name, dashboard in self.dashboards.items():
            for panel in dashboards.panels(dashboard):
                if panel["type"] in ("row", "text"):
                    continue
                with self.subTest(name, panel=panel["title"]):
                    self.assertEqual(panel["datasource"]["uid"], uid[1])
                    self.assertTrue(panel["targets"])
                    refs = [target["refId"] for target in panel["targets"]]
                    self.assertEqual(len(set(refs)), len(refs))
                    for target in panel["targets"]:
                        self.assertTrue(target["expr"])
                        self.assertEqual(target["datasource"]["uid"], uid[1])

    def test_panels_say_what_they_show_and_in_which_unit(self) -> None:
        for name, dashboard in self.dashboards.items():
            for panel in dashboards.panels(dashboard):
                if panel["type"] in ("row", "text"):
                    continue
                with self.subTest(name, panel=panel["title"]):
                    self.assertTrue(panel["description"])
                    self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                    self.assertTrue(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])

    def test_panels_do_not_overlap_and_fill_the_page(self) -> None:
        for name, dashboard in self.dashboards.items():
            taken: set[tuple[int, int]] = set()
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                cells = {
                    (x, y)
                    for x in range(at["x"], at["x"] + at["w"])
                    for y in range(at["y"], at["y"] + at["h"])
                }
                self.assertFalse(cells & taken, f"{name}: {panel['title']} covers another panel")
                taken |= cells

    def test_links_lead_to_the_other_dashboard(self) -> None:
        uids = {dashboard["uid"] for dashboard in self.dashboards.values()}
        for name, dashboard in self.dashboards.items():
            links = json.dumps(dashboard["links"])
            for uid in uids - {dashboard["uid"]}:
                self.assertIn(f"/d/{uid}", links, name)


if __name__ == "__main__":
    unittest.main()
