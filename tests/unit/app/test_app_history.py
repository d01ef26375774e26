"""Histories of the product's own workflow, read from a home and fed to today's code."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.app.history import History, history, read, verdict, verify
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.storage.factory import open_storage
from multiagent.testing.places import place_at
from multiagent.testing.replayed import Register
from tests.replay import product_run


@pytest.fixture
async def home(tmp_path: Path, register: Register) -> Path:
    """A home in which one task has run."""
    (tmp_path / "kept").mkdir()
    await product_run.record(tmp_path / "home", register, tmp_path / "kept")
    return tmp_path / "home"


@pytest.fixture
async def past(home: Path) -> AsyncIterator[History]:
    """Its history."""
    async with open_storage(home, clock=SystemClock(), ids=SystemIds(), synchronous="NORMAL") as storage:
        yield await history(storage.reader, storage.objects, product_run.ID)


async def test_a_history_replays_identically_without_owning_the_home(home: Path) -> None:
    found = await verify(place_at(home), product_run.ID)
    assert (found.identical, found.ended, found.message) == (True, True, "")
    assert found.outcomes == len((await read(place_at(home), product_run.ID)).journal)


async def test_an_unfinished_history_replays_as_far_as_it_got(past: History) -> None:
    """Any beginning of a journal is a history; it is identical and has not ended."""
    for length in range(len(past.journal)):
        found = verdict(msgspec.structs.replace(past, journal=past.journal[:length]))
        assert (found.identical, found.ended, found.outcomes) == (True, False, length)


async def test_drift_is_told_by_its_step_and_both_digests(past: History) -> None:
    """A tampered digest is found at its very row."""
    for place, row in enumerate(past.journal):
        if row.kind == "end" or not row.digest:
            continue
        rows = list(past.journal)
        rows[place] = msgspec.structs.replace(row, digest="0" * 16)
        found = verdict(msgspec.structs.replace(past, journal=tuple(rows)))
        assert (found.identical, found.n, found.step) == (False, row.n, row.key)
        assert (found.recorded, found.found) == ("0" * 16, row.digest)


async def test_a_missing_result_is_drift(past: History) -> None:
    results = {key: value for key, value in past.results.items() if key != "analyze"}
    found = verdict(msgspec.structs.replace(past, results=results))
    assert not found.identical
    assert "not stored" in found.message


async def test_an_unknown_task_home_or_workflow_is_said(home: Path, past: History, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="tasks list"):
        await verify(place_at(home), "nobody")
    with pytest.raises(NotFound, match="holds no data"):
        await verify(place_at(tmp_path / "nowhere"), product_run.ID)
    row = msgspec.structs.replace(past.row, workflow="other")
    with pytest.raises(InvalidInput, match="'other'"):
        verdict(msgspec.structs.replace(past, row=row))
