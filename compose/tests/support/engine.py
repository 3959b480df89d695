"""The container engine and Compose by their command lines. Every command has a deadline."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

COMPOSE_DIR = Path(__file__).resolve().parents[2]
# Settings of whoever runs the tests: they would start another mesh than the one that is tested.
FOREIGN = ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "COMPOSE_PATH_SEPARATOR")


class CommandFailed(AssertionError):
    """A command that ended badly, or did not end, with what it said."""


def run(
    *command: str,
    deadline: float = 60,
    env: dict[str, str] | None = None,
    cwd: Path = COMPOSE_DIR,
) -> str:
    """Runs a command to its end; its standard output. Fails with all that it said."""
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, timeout=deadline, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = f"{late.stdout or b''!r} {late.stderr or b''!r}"
        raise CommandFailed(f"{shown}: no end within {deadline} s: {said}") from late
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"
        raise CommandFailed(f"{shown}: exit code {done.returncode}\n{said}")
    return done.stdout


def docker(*args: str, deadline: float = 60) -> str:
    """Runs a command of the engine."""
    return run("docker", *args, deadline=deadline)


def image() -> str:
    """The image under test."""
    return os.environ.get("BOOKMESH_IMAGE", "bookmesh:dev")


def as_root() -> tuple[str, ...]:
    """What a command is run by for which root is needed."""
    return () if os.geteuid() == 0 else ("sudo", "-n")


def crash(container: str) -> None:
    """Kills a container's process behind the engine's back, as a crash or the kernel does it."""
    run(*as_root(), "kill", "-9", str(inspect(container)["State"]["Pid"]))


def inspect(name: str) -> dict:
    """All that the engine knows of a container, an image or a network."""
    return json.loads(docker("inspect", name))[0]


@cache
def compose_command() -> tuple[str, ...]:
    """Compose v2 where it is there, else 1.29."""
    plugin = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False, timeout=60
    )
    # 1.29 refuses /dev/null: it is no regular file.
    no_settings = ("--env-file", str(Path(__file__).with_name("no_settings.env")))
    if plugin.returncode == 0:
        return ("docker", "compose", *no_settings)
    if shutil.which("docker-compose"):
        return ("docker-compose", *no_settings)
    raise CommandFailed("no Compose: install docker-compose-plugin, or docker-compose 1.29")


@cache
def stand_ins() -> dict[str, str]:
    """Images of nginx and Prometheus' programs, by the variables that name them."""
    made = run(str(COMPOSE_DIR.parent / "scripts/stand_ins.sh"), deadline=300)
    return dict(line.split("=") for line in made.split())


def settings() -> set[str]:
    """The variables that Compose files have."""
    files = (COMPOSE_DIR / name for name in ("compose.yaml", "compose.dev.yaml"))
    return {name for file in files for name in re.findall(r"\$\{(\w+)", file.read_text())}


def environment(project: str, **variables: str) -> dict[str, str]:
    """What Compose is started with: this process's, less what would start something else."""
    foreign = settings().union(FOREIGN)
    own = {name: value for name, value in os.environ.items() if name not in foreign}
    return own | {"COMPOSE_PROJECT_NAME": project, "BOOKMESH_IMAGE": image()} | variables
