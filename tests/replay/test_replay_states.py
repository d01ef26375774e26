"""What stood in a run at any point of its past is what stood there when it was live."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.core.travel import AtRow, RunState
from multiagent.engines.base import Engine
from multiagent.engines.embedded.batch import Batch
from multiagent.engines.embedded.records import Arrived
from multiagent.engines.embedded.run import Run
from multiagent.engines.travel import capture
from multiagent.testing.bench import TENANT, Bench, open_bench
from multiagent.testing.replayed import Register
from tests.replay import product_run
from tests.replay.golden import RUNS, drive

Seen = dict[tuple[str, int], RunState]


@pytest.fixture
async def bench(tmp_path: Path, register: Register) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, register) as opened:
        yield opened


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The states of live runs by (task, row), taken the moment each outcome has been fed."""
    states: Seen = {}
    take = Run._take

    def spied(self: Run, arrived: Arrived, batch: Batch) -> None:
        if self._feed.n == 0:
            states[self.row.id, 0] = capture(self.kernel)
        take(self, arrived, batch)
        states[self.row.id, self._feed.n] = capture(self.kernel)

    monkeypatch.setattr(Run, "_take", spied)
    return states


async def compare(bench: Bench, task: str, seen: Seen) -> int:
    """Compare every cut of a run with what was seen; return how many there are."""
    rows = [row for row in await bench.engine.history(TENANT, task) if row.kind != "end"]
    compared = 0
    for n in range(len(rows) + 1):
        moment = await bench.engine.state(TENANT, task, AtRow(n))
        if (task, n) in seen:
            assert moment.state == seen[task, n], n
            compared += 1
    return compared


@pytest.mark.requirement("C5.states")
@pytest.mark.parametrize("name", sorted(RUNS))
async def test_the_state_at_each_cut_is_the_state_recorded_live_there(bench: Bench, seen: Seen, name: str) -> None:
    task = await drive(bench, name)
    assert sum([await compare(bench, one, seen) for one in sorted({one for one, _ in seen})]) == len(seen)
    await bench.restart()
    assert await compare(bench, task, seen) > 0


@pytest.mark.requirement("C5.states")
async def test_the_states_of_the_products_own_workflow_are_told_too(
    tmp_path: Path, register: Register, seen: Seen
) -> None:
    home, kept = tmp_path / "home", tmp_path / "kept"
    home.mkdir()
    kept.mkdir()
    moments = []

    async def look(engine: Engine) -> None:
        rows = await engine.history(product_run.TENANT, product_run.ID)
        moments.extend([await engine.state(product_run.TENANT, product_run.ID, AtRow(row.n)) for row in rows[:-1]])

    await product_run.record(home, register, kept, look)
    assert [moment.state for moment in moments] == [seen[product_run.ID, n + 1] for n in range(len(moments))]
    assert len(moments) > 20
