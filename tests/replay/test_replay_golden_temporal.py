"""Histories that a real server recorded still replay, by Temporal's own means, and feed what our journal has."""

from pathlib import Path

import msgspec
import pytest
from temporalio.client import WorkflowHistory

from multiagent.core.errors import InvalidInput, NonDeterminism
from tests.replay.golden_temporal import FOLDER, NAMES, SUFFIX, Golden, check, read

GOLDEN = sorted(FOLDER.glob(f"*{SUFFIX}"))


def test_there_is_a_golden_history_of_each_kind_and_mode() -> None:
    assert sorted(path.stem for path in GOLDEN) == sorted(NAMES)


def test_they_are_small_and_one_has_something_kept_beside_it() -> None:
    assert sum(path.stat().st_size for path in GOLDEN) < 1_000_000
    assert any(read(path).kept for path in GOLDEN)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_a_golden_history_replays_and_feeds_what_its_journal_has(path: Path, tmp_path: Path) -> None:
    golden = read(path)
    assert golden.journal[-1].kind == "end"
    await check(golden, tmp_path)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_its_twin_with_another_step_does_not(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NonDeterminism, match="tampered"):
        await check(read(path), tmp_path, _rename)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_its_twin_with_another_payload_does_not(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be replayed"):
        await check(read(path), tmp_path, _touch)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_its_twin_with_another_journal_does_not(path: Path, tmp_path: Path) -> None:
    golden: Golden = read(path)
    *rows, last = golden.journal
    journal = (*rows, msgspec.structs.replace(last, digest="0123456789abcdef"))
    twin = msgspec.structs.replace(golden, journal=journal)
    with pytest.raises(NonDeterminism, match=f"outcome {last.n}"):
        await check(twin, tmp_path)


def _rename(history: WorkflowHistory) -> None:
    """Give the last step that was asked for another id."""
    asked = [event for event in history.events if event.HasField("activity_task_scheduled_event_attributes")]
    asked[-1].activity_task_scheduled_event_attributes.activity_id = "tampered~00000000"


def _touch(history: WorkflowHistory) -> None:
    """Change one bit of the last answer."""
    answers = [event.activity_task_completed_event_attributes.result.payloads for event in history.events]
    payload = [found for found in answers if found][-1][0]
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
