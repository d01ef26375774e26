"""Every run that the tests start is replayed in another process with another hash seed, and counted."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.core.outcome import Outcome
from multiagent.engines.recording import Recording
from multiagent.testing.bench import TENANT, Bench, open_bench
from multiagent.testing.replayed import Register, Tally, replay_elsewhere
from multiagent.testing.workflows import CHAIN, CHANCE, FAN, WORKFLOWS
from tests.replay.drifting import BY_SET

pytestmark = pytest.mark.requirement("A5.replay", "S.reliability.replay")


@pytest.fixture
async def bench(tmp_path: Path, register: Register) -> AsyncIterator[Bench]:
    (tmp_path / "home").mkdir()
    async with open_bench(tmp_path / "home", register) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recordings"
    made.mkdir()
    return made


async def keep(bench: Bench, folder: Path, task: str, workflow: object) -> Path:
    """Record one finished run in a folder of its own."""
    await Register(folder).record("home", task, bench.storage.reader, bench.storage.objects, workflow, TENANT)  # type: ignore[arg-type]
    return next(folder.glob("*.json"))


async def test_a_run_replays_in_another_process_with_another_hash_seed(bench: Bench, folder: Path) -> None:
    task = await bench.start(CHANCE)
    await bench.result(task)
    await keep(bench, folder, task, CHANCE)
    verdict = replay_elsewhere(folder)
    assert (verdict.replayed, verdict.drifted) == (1, ())


async def test_a_run_that_depends_on_the_hash_seed_is_caught(bench: Bench, folder: Path) -> None:
    """In its own process it replays; in another one the set has another order."""
    await bench.restart((*WORKFLOWS, BY_SET))
    task = await bench.start(BY_SET)
    assert (await bench.result(task)).status == "completed"
    assert (await bench.engine.replay(TENANT, task)).status == "completed"
    bench.engine.exclude(task, "made to depend on the hash seed")
    await keep(bench, folder, task, BY_SET)
    verdict = replay_elsewhere(folder)
    assert verdict.replayed == 0
    assert "NON_DETERMINISM" in verdict.drifted[0]


@pytest.mark.parametrize("field", ["digest", "key", "kind", "time"])
async def test_a_journal_that_was_tampered_with_is_caught(bench: Bench, folder: Path, field: str) -> None:
    """``time`` alone changes nothing that a chain of steps does, so it replays: the control of this test."""
    task = await bench.start(CHAIN, 3)
    await bench.value(task)
    path = await keep(bench, folder, task, CHAIN)
    recording = msgspec.json.decode(path.read_bytes(), type=Recording)
    rows = list(recording.journal)
    other = {"digest": "0" * 16, "key": "other~00000000", "kind": "timer", "time": 1}[field]
    rows[1] = msgspec.structs.replace(rows[1], **{field: other})
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(recording, journal=tuple(rows))))
    verdict = replay_elsewhere(folder)
    assert verdict.replayed == (1 if field == "time" else 0)


async def test_a_journal_with_a_row_left_out_or_twice_is_caught(bench: Bench, folder: Path) -> None:
    task = await bench.start(FAN, 3)
    await bench.value(task)
    path = await keep(bench, folder, task, FAN)
    recording = msgspec.json.decode(path.read_bytes(), type=Recording)
    rows = recording.journal
    for wrong in (rows[:1] + rows[2:], rows[:2] + rows[1:], (rows[1], rows[0], *rows[2:-1])):
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(recording, journal=wrong)))
        assert replay_elsewhere(folder).replayed == 0


def test_a_session_is_complete_when_all_runs_were_replayed_or_excluded_by_name() -> None:
    whole = Tally(3, 2, ["x: made to drift"])
    assert whole.complete
    assert whole.line() == "replay: started = 3, replayed = 2, excluded = 1 (x: made to drift)"
    assert not Tally(4, 2, ["x: made to drift"]).complete
    assert not Tally(1, 1, [], ["it drifted"]).complete


def test_a_recording_survives_its_file() -> None:
    row = Outcome(1, "signal", "go~1", 5, b"\x00\xff")
    assert msgspec.json.decode(msgspec.json.encode(row), type=Outcome) == row
