"""Kill -9 while a schedule fires: no time is lost, none is run twice."""

import os
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from multiagent.core.schedule import planned_of
from tests.house.tree import ROOT

DEADLINE_S = 90
PLACES = (
    "schedule.after-decide-before-fire",
    "schedule.after-fire-before-note",
    "after-append-before-act",
    "schedule.after-decide-before-fire:2",
    "schedule.after-fire-before-note:2",
)


def worked(home: Path, runs: int, fault: str = "") -> int:
    """Let a process work in the home; return its exit code."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MULTIAGENT_")}
    process = subprocess.run(
        [sys.executable, "-m", "tests.chaos.schedule_worker", str(home), str(runs)],
        env=environment | ({"MULTIAGENT_FAULT": fault} if fault else {}),
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert process.returncode in ({-9} if fault else {0}), process.stderr
    return process.returncode


def fired(home: Path) -> list[int]:
    """The times that have a task, in order."""
    connection = sqlite3.connect(f"{(home / 'multiagent.db').as_uri()}?mode=ro", uri=True)
    sql = "SELECT idempotency_key FROM task_executions WHERE idempotency_key <> '' ORDER BY idempotency_key"
    rows = connection.execute(sql).fetchall()
    connection.close()
    return [planned_of(str(key)) for (key,) in rows]


def test_every_time_is_run_once_whatever_is_killed_while_it_fires(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for place in PLACES:
        worked(home, 1_000, place)
    count = len(fired(home))
    worked(home, count + 3)
    times = fired(home)
    assert len(times) >= count + 3
    assert len(set(times)) == len(times)
    assert all(later - earlier == 1_000 for earlier, later in pairwise(times))
