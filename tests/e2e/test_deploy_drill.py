"""A deploy in the middle of fifty tasks: what is journaled keeps its branch, what is new takes the new one."""

import asyncio
import re
import shutil
import time
from pathlib import Path

import pytest

import multiagent
from multiagent.app import lacking
from multiagent.app.ask import Ask
from multiagent.app.place import Place
from multiagent.app.steer import hand_over
from multiagent.cli.exits import DRIFTED
from multiagent.config.sources import load, places
from multiagent.core.events import EventKind
from multiagent.storage.sql.base import Reader
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.chaos.fleet import wait
from tests.e2e.distributed import ROLES, serve, spread
from tests.e2e.services import DEADLINE_S, Service, Site

TASKS = 50
DONE = 3
PACKAGE = Path(multiagent.__file__).parent
CHECKOUT = PACKAGE.parents[1]
POINT = r"( +)(ctx\.emit\(EventKind\.TASK_ANALYZED, .*?\)\)\n)"
SAID = 'ctx.emit(EventKind.TASK_DEGRADED, TaskDegraded("said by the next version", "NEXT"))'
PATCHED = rf'\1\2\1if ctx.patched("next"):\n\1    {SAID}\n'
UNPATCHED = rf"\1\2\1{SAID}\n"


def release(folder: Path, change: str) -> str:
    """Return the path of a checkout of the product in which the workflow says one thing more."""
    copy = folder / "src" / "multiagent"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.wasm"))
    for part in ("configs", "policies"):
        shutil.copytree(CHECKOUT / part, folder / part)
    file = copy / "orchestrator" / "workflows.py"
    text, count = re.subn(POINT, change, file.read_text("utf-8"), count=1)
    assert count == 1, "the change no longer fits the file; write it anew"
    file.write_text(text, "utf-8")
    return str(folder / "src")


async def submit(place: Place, environment: dict[str, str], first: int, count: int) -> list[str]:
    """Hand over tasks, each of its own."""
    numbers = range(first, first + count)
    return [await hand_over(place, Ask(f"What is {number} * 3?"), environment) for number in numbers]


async def until_held(place: Place, tasks: list[str]) -> None:
    """Wait until every task waits for a model, which nobody asks: it is past the point that will change."""
    left, end = set(tasks), time.monotonic() + DEADLINE_S
    while left:
        for task in tuple(left):
            if any(step.queue.endswith("llm") for step in await lacking._pending(place, task)):
                left.discard(task)
        assert time.monotonic() < end, left


async def until_all(reader: Reader, tasks: list[str], kind: EventKind) -> None:
    """Wait until every task has an event of a kind."""
    left, end = set(tasks), time.monotonic() + DEADLINE_S
    while left:
        for task in tuple(left):
            if any(event.header.kind is kind for event in await reader.events("local", task)):
                left.discard(task)
        assert time.monotonic() < end, [await reader.task("local", task) for task in left]
        await wait(0.1)


async def news(reader: Reader, tasks: list[str]) -> int:
    """Return how many tasks have said what the next version says."""
    events = [await reader.events("local", task) for task in tasks]
    return sum(any(b'"NEXT"' in event.payload for event in found) for found in events)


@pytest.mark.requirement("T4.patched", "T4.check")
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("distributed")
async def test_fifty_tasks_outlive_a_deploy_and_an_unpatched_change_is_caught_before_it(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    """The old ones keep the old branch, as many new ones take the new; none of them is quarantined."""
    following, wrong = release(tmp_path / "next", PATCHED), release(tmp_path / "wrong", UNPATCHED)
    with spread(tmp_path / "site", sandbox_cache, postgres_server, temporal_server) as site:
        await asyncio.to_thread(serve, site, *ROLES)
        environment = site.environment()
        here = places(environment)
        place = Place(here, load(Path(here.home), environment))
        done = await submit(place, environment, 0, DONE)
        async with place.reader() as reader:
            assert reader is not None
            await until_all(reader, done, EventKind.TASK_COMPLETED)
            files = [await asyncio.to_thread(exported, site, task, tmp_path) for task in done]
            *others, models = site.services
            await asyncio.to_thread(stopped, models)
            old = await submit(place, environment, 1000, TASKS)
            await until_held(place, old)
            site.extra["PYTHONPATH"] = wrong
            caught = await asyncio.to_thread(site.run, "history", "check", *files)
            assert caught.returncode == DRIFTED, caught.stdout + caught.stderr
            site.extra["PYTHONPATH"] = following
            passed = await asyncio.to_thread(site.run, "history", "check", *files)
            assert passed.returncode == 0, passed.stdout + passed.stderr
            await asyncio.to_thread(stopped, *others)
            await asyncio.to_thread(serve, site, *ROLES)
            new = await submit(place, environment, 2000, TASKS)
            await until_all(reader, old + new, EventKind.TASK_COMPLETED)
            assert (await news(reader, old), await news(reader, new)) == (0, TASKS)
            found = {row.status for row in [await reader.task("local", task) for task in old + new] if row}
            assert found == {"completed"}
            print(f"{TASKS} tasks on the version before, {TASKS} on the next: all completed, each on its branch")


def stopped(*services: Service) -> None:
    """Stop processes in good order."""
    for service in services:
        service.ask_to_stop()
    assert [service.ended() for service in services] == [0] * len(services)


def exported(site: Site, task: str, folder: Path) -> str:
    """Export a task's history to a file; return the file."""
    file = folder / f"{task}.json"
    done = site.run("history", "export", task, str(file))
    assert done.returncode == 0, done.stderr
    return str(file)
