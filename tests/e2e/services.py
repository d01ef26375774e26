"""Processes that serve, as a supervisor starts and stops them, and what each of them says of itself."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE_S = 90


@dataclass(slots=True)
class Service:
    """One process that serves; what it logs is in ``log``."""

    process: subprocess.Popen[bytes]
    out: Path
    log: Path

    def said(self) -> dict[str, object]:
        """Where it listens, as it said itself."""
        until = time.monotonic() + DEADLINE_S
        while not (text := self.out.read_text("utf-8")).endswith("\n"):
            assert self.process.poll() is None, self.log.read_text("utf-8")
            assert time.monotonic() < until, self.log.read_text("utf-8")
            time.sleep(0.02)
        found: dict[str, object] = json.loads(text)
        return found

    def page(self, which: str, path: str = "") -> tuple[int, str]:
        """Read its page on health or metrics, or another of the same port; status 0 where it listens no more."""
        url = str(self.said()[which])
        if path:
            url = url.partition("/health")[0].partition("/metrics")[0] + path
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, urllib.error.URLError):
            return 0, ""

    def readiness(self) -> tuple[int, dict[str, dict[str, object]]]:
        """The status of its page on readiness, and its checks."""
        status, text = self.page("health")
        return status, json.loads(text)["checks"] if text else {}

    def until_ready(self, status: int = 200) -> None:
        """Wait until its page on readiness has this status."""
        until = time.monotonic() + DEADLINE_S
        while (found := self.page("health"))[0] != status:
            assert self.process.poll() is None, self.log.read_text("utf-8")
            assert time.monotonic() < until, (found, self.log.read_text("utf-8"))
            time.sleep(0.05)

    def samples(self) -> dict[str, float]:
        """What it has counted, by name and labels as they are written."""
        lines = [line for line in self.page("metrics")[1].splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def ask_to_stop(self) -> None:
        """Send it the first signal."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End it as a crash does, with its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)


@dataclass(slots=True)
class Site:
    """A home and the settings of all processes on it."""

    home: Path
    cache: Path
    extra: dict[str, str] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The environment of a process on this site."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULTIAGENT_", "OPENAI_"))}
        kept |= {"MULTIAGENT_HOME": str(self.home), "MULTIAGENT_CACHE": str(self.cache)}
        return kept | {"MULTIAGENT_SERVE__HEALTH_PORT": "0", "MULTIAGENT_SERVE__METRICS_PORT": "0"} | self.extra

    def serve(self, role: str = "all") -> Service:
        """Start a process that serves."""
        self.home.mkdir(exist_ok=True)
        name = f"{role}-{len(self.services)}"
        out, log = self.home / f"{name}.out", self.home / f"{name}.log"
        with out.open("wb") as told, log.open("wb") as logged:
            process = subprocess.Popen(
                [sys.executable, "-m", "multiagent.cli.main", "serve", role, "--json"],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=logged,
                start_new_session=True,
            )
        service = Service(process, out, log)
        self.services.append(service)
        return service

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a command of the terminal, as somebody does who may stop it; its standard error can be read."""
        return subprocess.Popen(
            [sys.executable, "-m", "multiagent.cli.main", *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the terminal to its end."""
        return subprocess.run(
            [sys.executable, "-m", "multiagent.cli.main", *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )


@contextmanager
def site(home: Path, cache: Path, **extra: str) -> Iterator[Site]:
    """A site for a block; what still runs at its end is killed."""
    made = Site(home, cache, extra)
    try:
        yield made
    finally:
        for service in made.services:
            if service.process.poll() is None:
                service.kill()
