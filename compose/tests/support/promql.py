"""Takes expressions of PromQL apart, as far as a test needs: into what ought to find data while
nothing is wrong. Not a parser: Prometheus itself says whether an expression is one."""

import re
from typing import NamedTuple

SETS = ("and", "or", "unless")
KEYWORDS = {*SETS, "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"}

TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:\\.|[^"\\])*")
      | (?P<braces>\{(?:"(?:\\.|[^"\\])*"|[^{}"])*\})
      | (?P<range>\[[^\]]*\])
      | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?[smhdw]?\w*)
      | (?P<name>[A-Za-z_:][\w:]*)
      | (?P<compare>==|!=|<=|>=|<|>)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    kind: str
    text: str


def tokens(expression: str) -> list[Token]:
    found = [Token(match.lastgroup or "", match[0]) for match in TOKEN.finditer(expression)]
    return [token for token in found if token.kind != "space"]


def text_of(part: list[Token]) -> str:
    return " ".join(token.text for token in part)


def closing(part: list[Token], opening: int) -> int:
    """Where the parenthesis that opens here is closed."""
    depth = 0
    for at in range(opening, len(part)):
        depth += {"(": 1, ")": -1}.get(part[at].text, 0)
        if depth == 0:
            return at
    raise ValueError(f"a parenthesis is not closed: {text_of(part)}")


def selectors(expression: str) -> list[str]:
    """Every `metric{matchers}` of an expression."""
    found, part, at = [], tokens(expression), 0
    while at < len(part):
        following = part[at + 1] if at + 1 < len(part) else Token("", "")
        token = part[at]
        if token.kind == "name" and token.text in KEYWORDS and following.text == "(":
            # Names of labels, or an expression that follows a set operator.
            at = at + 1 if token.text in SETS else closing(part, at + 1)
        elif token.kind == "name" and token.text not in KEYWORDS and following.text != "(":
            # The word before the labels of an aggregation is none: `sum by (job) (…)`.
            if following.text not in ("by", "without"):
                matchers = following.text if following.kind == "braces" else ""
                found.append(token.text + matchers)
        at += 1
    return found


def grouping_labels(expression: str) -> set[str]:
    """Labels by which it groups and matches."""
    lists = re.findall(
        r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression
    )
    names = {name.strip() for names in lists for name in names.split(",")}
    return names - {""}


def made_labels(expression: str) -> set[str]:
    """Labels that it makes itself."""
    counted = re.findall(r'count_values\s*(?:by\s*\([^)]*\))?\s*\(\s*"(\w+)"', expression)
    replaced = re.findall(r'"(\w+)",\s*"[^"]*\$[^"]*",\s*"\w+"', expression)
    return {*counted, *replaced}


def parts(expression: str) -> list[str]:
    """What stands between comparisons and set operators, at any depth: an alert's expression
    finds something only while it fires, its parts always."""
    return [text_of(part) for part in _parts(tokens(expression))]


def _splits(token: Token) -> bool:
    return token.kind == "compare" or token.text in SETS


def _parts(part: list[Token]) -> list[list[Token]]:
    pieces: list[list[Token]] = [[]]
    split, at = False, 0
    while at < len(part):
        token = part[at]
        if token.text == "(":
            end = closing(part, at)
            pieces[-1] += part[at:end + 1]
            at = end
        elif _splits(token):
            split = True
            pieces.append([])
            # `on (job)` and `bool` belong to the operator.
            while at + 1 < len(part) and part[at + 1].text in ("on", "ignoring", "bool",
                                                               "group_left", "group_right"):
                at += 1
                if at + 1 < len(part) and part[at + 1].text == "(":
                    at = closing(part, at + 1)
        else:
            pieces[-1].append(token)
        at += 1
    if split:
        return [found for piece in pieces for found in _parts(piece)]
    if not any(token.kind in ("name", "braces") for token in part):
        return []  # Numbers alone.
    if part[0].text == "absent":
        return [part[2:-1]]
    inner = [group for group in _groups(part) if any(map(_splits, group))]
    return [found for group in inner for found in _parts(group)] or [part]


def _groups(part: list[Token]) -> list[list[Token]]:
    """What stands in parentheses here."""
    found, at = [], 0
    while at < len(part):
        if part[at].text == "(":
            end = closing(part, at)
            found.append(part[at + 1:end])
            at = end
        at += 1
    return found
