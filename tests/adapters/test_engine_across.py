"""Forks at ten events, on each engine and from each to the other, on one storage: only later steps run."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multiagent.core.outcome import Outcome
from multiagent.core.travel import AtRow, Changes, Edit
from multiagent.engines.base import Engine, Step, Workflow
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.testing.bench import TENANT
from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import EMITS, FAN, LIMITED, TIDY, WORK, WORKFLOWS, Job

pytestmark = pytest.mark.requirement("T5")

PAIRS = [(parent, child) for parent in ("embedded", "temporal") for child in ("embedded", "temporal")]


class Both:
    """Two engines on one storage, which do the same steps."""

    def __init__(self, bench: TemporalBench, embedded: Engine) -> None:
        self.bench = bench
        self.engines: dict[str, Engine] = {"embedded": embedded, "temporal": bench.engine}

    async def parent(self, engine: str, workflow: Workflow[Any, Any], value: int) -> bytes:
        """Run a task to its end; return its result."""
        await self.engines[engine].start(TENANT, "parent", workflow.name, msgspec.json.encode(Job(value)))
        return await self.result(engine, "parent")

    async def result(self, engine: str, task: str) -> bytes:
        """Wait for a task to complete; return its result."""
        done = await self.engines[engine].result(TENANT, task)
        assert done.status == "completed", done
        return done.value

    async def rows(self) -> tuple[Outcome, ...]:
        """The parent's journal."""
        return await self.engines["embedded"].history(TENANT, "parent")


@pytest.fixture
async def both(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[Both]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as bench:
        storage = bench.storage
        parts = EngineParts(storage.writer, storage.reader, storage.objects, bench.clock, bench._ids)
        steps = [Step(one, bench._run) for one in (WORK, TIDY, LIMITED)]
        async with open_engine(tmp_path, parts, WORKFLOWS, steps) as embedded:
            yield Both(bench, embedded)


def steps_in(rows: tuple[Outcome, ...]) -> set[str]:
    """The keys of the steps whose results rows are."""
    return {row.key.rpartition("~")[0] for row in rows if row.kind == "result"}


@pytest.mark.parametrize("workflow", [EMITS, FAN], ids=lambda workflow: workflow.name)
@pytest.mark.parametrize(("parent", "child"), PAIRS)
async def test_a_fork_at_each_of_ten_events_runs_only_what_comes_after(
    both: Both, parent: str, child: str, workflow: Workflow[Any, Any]
) -> None:
    result = await both.parent(parent, workflow, 5)
    rows = await both.rows()
    events = await both.bench.events("parent")
    places = [events[len(events) * place // 10].header.seq for place in range(10)]
    assert len(set(places)) == 10
    for place in places:
        both.bench.ran.clear()
        cut = (await both.engines[child].state(TENANT, "parent", place)).cut
        fork = f"fork-{place}"
        await both.engines[child].fork(TENANT, fork, "parent", place, Changes())
        assert await both.result(child, fork) == result
        assert {key for key, _ in both.bench.ran} == steps_in(rows[cut:])
        stored = await both.bench.storage.reader.results(TENANT, fork)
        assert {key for key, one in stored.items() if one.inherited} == steps_in(rows[:cut])
        for engine in both.engines.values():
            assert (await engine.replay(TENANT, fork)).status == "completed"


@pytest.mark.parametrize(("parent", "child"), [("embedded", "temporal"), ("temporal", "embedded")])
async def test_a_fork_goes_there_and_back_with_an_edit(both: Both, parent: str, child: str) -> None:
    await both.parent(parent, EMITS, 3)
    await both.engines[child].fork(TENANT, "there", "parent", AtRow(1), Changes())
    await both.result(child, "there")
    edit = Edit("emit/1", "/value", b"40")
    await both.engines[parent].fork(TENANT, "back", "there", "emit/1", Changes(edit=edit))
    await both.result(parent, "back")
    row = await both.bench.storage.reader.task(TENANT, "back")
    assert row is not None
    assert (row.parent_id, row.root_id) == ("there", "parent")
    stored = await both.bench.storage.reader.results(TENANT, "back")
    assert stored["emit/1"].value == b'{"value":40,"text":""}'
    assert (await both.engines[child].replay(TENANT, "back")).status == "completed"
