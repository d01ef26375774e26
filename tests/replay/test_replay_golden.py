"""Histories that older code recorded still replay: runs under way survive an upgrade."""

from pathlib import Path

import msgspec
import pytest

from multiagent.engines.recording import read
from multiagent.testing.replayer import replay_one
from tests.replay.golden import FOLDER, RUNS

GOLDEN = sorted(FOLDER.glob("*.json"))


def test_there_is_a_golden_history_of_each_kind_of_run() -> None:
    assert [path.stem for path in GOLDEN] == sorted(RUNS)


@pytest.mark.requirement("S.reliability.replay", "C8.golden")
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_history_replays(path: Path) -> None:
    recording = read(path.read_bytes())
    assert recording.journal[-1].kind == "end"
    assert replay_one(recording) == ""


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_its_tampered_twin_does_not(path: Path) -> None:
    """The digest before the last outcome is another one."""
    recording = read(path.read_bytes())
    last = msgspec.structs.replace(recording.journal[-1], digest="0123456789abcdef")
    twin = msgspec.structs.replace(recording, journal=(*recording.journal[:-1], last))
    assert "NON_DETERMINISM" in replay_one(twin)
