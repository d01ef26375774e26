"""Schedules where services do the work, on Temporal and PostgreSQL."""

import json
import os
from itertools import pairwise
from pathlib import Path

from multiagent.core.schedule import planned_of
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.distributed import serve, spread, until
from tests.e2e.services import Site

STEP_MS = 2_000


def runs(site: Site, name: str) -> "list[dict[str, str]]":
    """The runs of a schedule, in the order of their times."""
    shown = site.run("schedules", "show", name, "--runs", "1000", "--json")
    assert shown.returncode == 0, shown.stderr
    found: list[dict[str, str]] = json.loads(shown.stdout)["runs"]
    return found[::-1]


def completed(site: Site, name: str) -> int:
    return sum(run["status"] == "completed" for run in runs(site, name))


def told(site: Site, *arguments: str, code: int = 0) -> str:
    done = site.run("schedules", *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_an_orchestrator_is_killed_while_a_schedule_fires_and_no_time_is_lost_or_run_twice(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    with spread(tmp_path / f"times-{os.getpid()}", sandbox_cache, postgres_server, temporal_server) as site:
        serve(site, "all")
        told(
            site, "create", "often", "What is 2 + 2?", "--every", "2s", "--overlap", "allow-all", "--budget-usd", "0.05"
        )
        assert "already" in told(site, "create", "often", "What is 2 + 2?", "--every", "3s", code=2)
        until(lambda: completed(site, "often") >= 2, "the schedule has not run twice")
        site.services[0].kill()
        before = len(runs(site, "often"))
        serve(site, "all", "orchestrator")
        until(lambda: len(runs(site, "often")) >= before + 3, "nothing is run after the kill")
        assert "paused" in told(site, "pause", "often", "--note", "enough")
        found = runs(site, "often")
        times = [planned_of(run["planned"]) for run in found]
        assert all(later - earlier == STEP_MS for earlier, later in pairwise(times))
        assert len({run["task"] for run in found}) == len(found)
        until(lambda: completed(site, "often") == len(runs(site, "often")), "not every run has ended well")
        told(site, "trigger", "often")
        until(lambda: len(runs(site, "often")) > len(found), "what was asked for by hand is not run")
        told(site, "delete", "often")
        assert json.loads(site.run("schedules", "list", "--json").stdout) == []


def test_what_is_asked_while_nothing_serves_is_kept_and_done_by_the_next_orchestrator(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    with spread(tmp_path / f"later-{os.getpid()}", sandbox_cache, postgres_server, temporal_server) as site:
        assert "is kept" in told(site, "create", "often", "What is 2 + 2?", "--every", "1s")
        serve(site, "all")
        until(lambda: site.run("schedules", "list", "--json").stdout.strip() != "[]", "the schedule was not taken")
        until(lambda: completed(site, "often") >= 1, "the schedule has not run")
        told(site, "delete", "often")
