"""Cancelling what services do on other processes: a vendor's stream, a program in the sandbox, a whole team."""

import asyncio
import json
from pathlib import Path

import pytest

from multiagent.storage.sql.postgres.pool import connect
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.chaos.house import calls, vendor
from tests.e2e.distributed import ROLES, serve, spread, until
from tests.e2e.services import Site
from tests.e2e.test_cli_cancel import QUERIES, SCRIPTS, ended


def record(site: Site, task: str) -> dict[str, object]:
    """What is stored of a task."""
    done = site.run("tasks", "show", task, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def events(site: Site, task: str) -> list[dict[str, object]]:
    """A task's events, in order."""
    done = site.run("tasks", "events", task, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["header"] for line in done.stdout.splitlines()]


def begun(site: Site, task: str, key: str) -> bool:
    """Whether a step of this kind runs."""
    steps = [(str(one["kind"]), str(one["key"])) for one in events(site, task)]
    return any(kind == "step.started" and f"/{key}/" in name and "/check/" not in name for kind, name in steps)


@pytest.mark.requirement("T6")
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("distributed-cli")
@pytest.mark.parametrize("what", SCRIPTS)
def test_what_services_do_is_stopped_and_nothing_is_spent_after(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer, what: str
) -> None:
    """The vendor sees its connections close, no call begins and no token is billed after."""
    key = "act" if "program" in what else "think"
    with (
        vendor(tmp_path, SCRIPTS[what]) as (url, ledger),
        spread(tmp_path / "site", sandbox_cache, postgres_server, temporal_server) as site,
    ):
        site.extra |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "test-key"}
        serve(site, *ROLES)
        left = site.run("run", QUERIES.get(what, "Look into this"), "--detach", "--json")
        assert left.returncode == 0, left.stderr
        task = str(json.loads(left.stdout)["task"])
        until(lambda: begun(site, task, key), "no step began")
        assert site.run("tasks", "cancel", task, "--reason", "enough").returncode == 0
        at_cancel = calls(ledger)
        until(lambda: ended(ledger), "the vendor still serves a call")
        until(lambda: record(site, task)["status"] == "cancelled", "the task goes on")
        assert calls(ledger) == at_cancel
        said = events(site, task)
        assert said[-1]["kind"] == "task.cancelled"
        took = asyncio.run(lasted(site.extra["MULTIAGENT_STORAGE__URL"], task))
        print(f"{what}: the last running step ended {took} ms after the command")


async def lasted(url: str, task: str) -> int:
    """Milliseconds from the command until the last step it stopped was over, its connections closed."""
    connection = await connect(url)
    try:
        found: int = await connection.fetchval(
            """SELECT max(e.time) - min(c.time) FROM commands c JOIN events e ON e.task = c.task
             WHERE c.task = $1 AND c.kind = 'cancel' AND e.kind = 'step.failed'""",
            task,
        )
    finally:
        await connection.close()
    return found
