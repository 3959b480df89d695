"""What a container may do, as the kernel sees it, and what its image holds."""

import io
import subprocess
import tarfile
import time
import unittest
from pathlib import Path

from support import engine
from support.case import SharedMesh
from support.waiting import until

MEMORY = {"wrk-ork": 256, "wrk-book": 512, "wrk-order": 512, "app-node": 256}
CPUS = {"wrk-ork": 0.5, "wrk-book": 1.0, "wrk-order": 1.0, "app-node": 1.0}
# What the engine puts into every container by itself.
ENGINES_OWN = {".dockerenv", "dev", "etc", "proc", "sys"}


def kernel_status(container: str) -> dict[str, str]:
    """What the kernel says of a container's process."""
    pid = engine.inspect(container)["State"]["Pid"]
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


class Confined(SharedMesh):
    """Non-root, read-only, without capabilities, limited, healthy, and stopped in time."""

    def test_the_process_is_nobody_and_can_become_nobody_else(self) -> None:
        for container in self.mesh.all_containers():
            with self.subTest(container):
                status = kernel_status(container)
                self.assertEqual(status["Uid"].split(), ["65532"] * 4)
                self.assertEqual(status["Gid"].split(), ["65532"] * 4)
                for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(status[kind], 16), 0, kind)
                self.assertEqual(status["NoNewPrivs"], "1")
                self.assertEqual(status["Seccomp"], "2", "the engine's filter")

    def test_nothing_is_written_but_volumes(self) -> None:
        for container in self.mesh.all_containers():
            with self.subTest(container):
                made = subprocess.run(
                    ["docker", "exec", container, "/bookmesh", "keys", "new", "/try.key"],
                    capture_output=True, text=True, timeout=60, check=False,
                )
                self.assertNotEqual(made.returncode, 0)
                self.assertIn("Read-only file system", made.stderr)
                self.assertTrue(engine.inspect(container)["HostConfig"]["ReadonlyRootfs"])

    def test_limits_are_applied(self) -> None:
        for service, memory in MEMORY.items():
            for container in self.mesh.containers(service):
                with self.subTest(container):
                    limits = engine.inspect(container)["HostConfig"]
                    self.assertEqual(limits["Memory"], memory * 1024 * 1024)
                    self.assertEqual(limits["NanoCpus"], CPUS[service] * 1e9)
                    self.assertEqual(limits["PidsLimit"], 512)
                    self.assertEqual(limits["RestartPolicy"]["Name"], "unless-stopped")
                    shown = engine.docker(
                        "stats", "--no-stream", "--format", "{{.MemUsage}}", container
                    )
                    self.assertTrue(shown.strip().endswith(f"/ {memory}MiB"), shown)

    def test_they_are_healthy_by_their_own_check(self) -> None:
        for container in self.mesh.all_containers():
            with self.subTest(container):
                health = lambda: engine.inspect(container)["State"]["Health"]["Status"]
                until(f"{container} is healthy", lambda: health() == "healthy", 90)

    def test_they_stop_in_time_and_in_order(self) -> None:
        containers = self.mesh.all_containers()
        self.mesh.compose("stop")
        for container in containers:
            with self.subTest(container):
                state = engine.inspect(container)["State"]
                # One that takes longer than its grace period is killed, and ends with 137.
                self.assertEqual((state["ExitCode"], state["OOMKilled"]), (0, False))


class Image(unittest.TestCase):
    """The image is one binary and two empty directories."""

    def setUp(self) -> None:
        self.container = engine.docker("create", engine.image()).strip()
        self.addCleanup(engine.docker, "rm", self.container)

    def test_it_holds_the_binary_and_nothing_else(self) -> None:
        exported = subprocess.run(
            ["docker", "export", self.container], capture_output=True, timeout=60, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as archive:
            entries = {entry.name.strip("/"): entry for entry in archive}
        own = {name for name in entries if name.split("/")[0] not in ENGINES_OWN}
        self.assertEqual(own, {"bookmesh", "data", "mesh"})
        binary = entries["bookmesh"]
        self.assertEqual((binary.uid, binary.gid, binary.mode & 0o7777), (0, 0, 0o755))
        for name in ("data", "mesh"):
            directory = entries[name]
            self.assertTrue(directory.isdir())
            self.assertEqual((directory.uid, directory.gid), (65532, 65532), "volumes take it over")

    def test_it_says_what_it_is(self) -> None:
        config = engine.inspect(engine.image())["Config"]
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(config["Entrypoint"], ["/bookmesh"])
        labels = config["Labels"]
        said = engine.docker("run", "--rm", "--network", "none", engine.image(), "--version")
        self.assertEqual(said.split(), ["bookmesh", labels["org.opencontainers.image.version"]])
        for name in ("title", "description", "licenses", "revision"):
            self.assertTrue(labels[f"org.opencontainers.image.{name}"], name)

    def test_it_has_no_shell(self) -> None:
        command = ["docker", "run", "--rm", "--entrypoint", "/bin/sh", engine.image(), "-c", "id"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 127, run.stderr)


if __name__ == "__main__":
    unittest.main()
