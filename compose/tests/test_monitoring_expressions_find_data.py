"""Every expression of the rules and dashboards is one to Prometheus, and asks for what a real mesh
exports: an alert finds nothing while all is well, so each of its parts has to."""

import unittest

from support import dashboards, promql
from support.waiting import until
from support.watch import Refused, Watch
from support.watched import watched

# Found only while something is wrong, so their parts can't be seen in a healthy mesh.
ONLY_IN_TROUBLE = ("ALERTS",)


class Missing(AssertionError):
    """An expression asks for what is not there."""


def check(watch: Watch, expression: str) -> None:
    """Fails when an expression asks for a metric, a label or a value that nobody exports."""
    watch.query(expression)  # Fails when it is none.
    wanted = [one for one in promql.selectors(expression) if one not in ONLY_IN_TROUBLE]
    names = [selector.split("{")[0] for selector in wanted]
    for selector in wanted:
        if not selector.startswith(ONLY_IN_TROUBLE) and not watch.query(f"count({selector})"):
            raise Missing(f"nobody exports {selector}, in {expression}")
    for label in promql.grouping_labels(expression) - promql.made_labels(expression):
        having = " or ".join(f'count({name}{{{label}!=""}})' for name in names)
        if names and not watch.query(having):
            raise Missing(f"nothing has the label {label}, in {expression}")
    for part in promql.parts(expression):
        asks_for_trouble = any(part_name in part for part_name in ONLY_IN_TROUBLE)
        if not asks_for_trouble and not watch.query(part):
            raise Missing(f"{part} finds nothing, in {expression}")


def wait_for_data(watch: Watch, expression: str) -> None:
    """As `check`, with the time that series take to be long enough."""
    # The longest is an hour and ten minutes, sped up.
    until("it finds data", lambda: check(watch, expression) is None, 120)


class Expressions(unittest.TestCase):
    def setUp(self) -> None:
        self.watch = watched().watch

    def test_rules(self) -> None:
        rules = self.watch.rules()
        self.assertGreater(len(rules), 30)
        for rule in rules:
            with self.subTest(rule["name"]):
                wait_for_data(self.watch, rule["query"])

    def test_rules_have_no_trouble(self) -> None:
        until(
            "all rules are evaluated",
            lambda: all(rule["health"] == "ok" for rule in self.watch.rules()),
        )

    def test_dashboards(self) -> None:
        asked = dict(dashboards.queries())
        self.assertGreater(len(asked), 30)
        for where, expression in asked.items():
            with self.subTest(where):
                wait_for_data(self.watch, expression)
                if not any(name in expression for name in ONLY_IN_TROUBLE):
                    until("it shows something", lambda e=expression: self.watch.query(e))

    def test_a_name_that_is_mistyped_is_noticed(self) -> None:
        right = (
            'max by (job, rack) (rack_members{role="voter"} and on (job, rack) rack_leader == 1)'
            " < 9"
        )
        wait_for_data(self.watch, right)
        for correct, wrong in (
            ("rack_members", "rack_member"),
            ("rack_leader", "rack_leaders"),
            ("role=", "rolle="),
            ('"voter"', '"voters"'),
            ("by (job, rack)", "by (job, racks)"),
            ("on (job, rack)", "on (jobs, rack)"),
        ):
            with self.subTest(wrong), self.assertRaises(Missing):
                check(self.watch, right.replace(correct, wrong, 1))

    def test_what_prometheus_does_not_understand_is_noticed(self) -> None:
        with self.assertRaisesRegex(Refused, "parse error"):
            check(self.watch, "sum by (job) (up")


if __name__ == "__main__":
    unittest.main()
