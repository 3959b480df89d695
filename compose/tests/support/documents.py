"""Documents, and the commands in them: what stands behind `$ ` in blocks of console."""

import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^```(\w*)$")


@dataclass
class Section:
    """What stands below a heading, up to the next one: its blocks of commands."""

    title: str
    blocks: list[list[str]] = field(default_factory=list)


def sections(text: str) -> list[Section]:
    """All of a document, in order. What stands before its first heading has none."""
    found = [Section("")]
    language: str | None = None
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence:
            language = fence[1] if language is None else None
            if language == "console":
                found[-1].blocks.append([])
        elif language is None and line.startswith("#"):
            found.append(Section(line.lstrip("#").strip()))
        elif language == "console":
            _add(found[-1].blocks[-1], line)
    return found


def _add(block: list[str], line: str) -> None:
    """A command, or more of the last one; anything else is what commands print."""
    if line.startswith("$ "):
        block.append(line[2:])
    elif block and block[-1].endswith("\\"):
        block[-1] = block[-1][:-1] + line.lstrip()


def commands(text: str) -> list[str]:
    """All commands, in order."""
    return [line for part in sections(text) for block in part.blocks for line in block]


def part(text: str, title: str) -> str:
    """A part of a document, up to the next of its rank."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def languages(text: str) -> set[str]:
    """Of its blocks. What is written for a shell, and not for the console, nobody runs."""
    return set(re.findall(r"^```(\w*)$", text, re.MULTILINE)[::2])
