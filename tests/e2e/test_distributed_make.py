"""`make distributed`: everything is started on free ports, used, and stopped again."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.distributed import until
from tests.e2e.services import DEADLINE_S
from tests.house.tree import ROOT
from tests.servers import absent

pytestmark = [pytest.mark.xdist_group("distributed-make"), pytest.mark.timeout(300)]

SCRIPT = [sys.executable, str(ROOT / "scripts" / "distributed.py")]
SERVERS = ("postgres", "temporal")
SERVICES = ("orchestrator", "agent", "llm")


@pytest.fixture
def environment(sandbox_cache: Path) -> dict[str, str]:
    """That of a person at a terminal of this machine, without a vendor's key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULTIAGENT_", "OPENAI_"))}
    return kept | {"MULTIAGENT_CACHE": str(sandbox_cache)}


def started(folder: Path) -> dict[str, int]:
    """The processes that were started, by name."""
    rows = [line.split(" ", 2) for line in (folder / "pids").read_text("utf-8").splitlines()]
    return {name: int(pid) for pid, name, _ in rows}


def running(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where everything is to lie; a server's data lie elsewhere where it runs as another user."""
    yield tmp_path / "platform"
    data = (tmp_path / "platform" / "postgres").resolve()
    shutil.rmtree(data, ignore_errors=True)


def perform(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SCRIPT, "--folder", str(folder), *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * DEADLINE_S, check=False,
    )  # fmt: skip
    if "there is no Temporal" in done.stderr or "there is no PostgreSQL" in done.stderr:
        absent(done.stderr.strip().splitlines()[-1])
    return done


def test_it_runs_the_job_says_how_to_go_on_and_can_be_stopped_later(folder: Path, environment: dict[str, str]) -> None:
    """Left up, any terminal uses it by the one variable that it names; keys are for this user's eyes alone."""
    done = perform(folder, environment, "--keep")
    assert done.returncode == 0, done.stderr
    assert "zone1970.tab" in done.stdout
    assert f"export MULTIAGENT_HOME={folder / 'home'}" in done.stderr
    processes = started(folder)
    try:
        assert set(processes) >= {*SERVERS, *SERVICES}
        assert all(map(running, processes.values()))
        for secret in ("config.yaml", "temporal.key"):
            assert (folder / "home" / secret).stat().st_mode & 0o777 == 0o600
        listed = subprocess.run(
            [SCRIPT[0], "-m", "multiagent.cli.main", "tasks", "list"],
            env=environment | {"MULTIAGENT_HOME": str(folder / "home")}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "completed" in listed.stdout
    finally:
        stopped = subprocess.run([*SCRIPT, "--stop", str(folder)], capture_output=True, text=True, check=False)
    assert stopped.returncode == 0
    assert not any(map(running, processes.values()))
    assert stopped.stderr.index("stopping llm") < stopped.stderr.index("stopping temporal")


def test_an_interruption_stops_all_that_was_started(folder: Path, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [*SCRIPT, "--folder", str(folder)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        until(lambda: process.poll() is not None or (folder / "pids").exists(), "nothing was started")
        if process.poll() is not None:
            assert process.stderr is not None
            absent(process.stderr.read().strip().splitlines()[-1])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert not any(map(running, started(folder).values()))


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "mine").write_text("x", "utf-8")
    done = perform(tmp_path, environment, "--once")
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_is_stopped_in_a_folder_where_nothing_was_started(tmp_path: Path) -> None:
    done = subprocess.run([*SCRIPT, "--stop", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "left running" in done.stderr
