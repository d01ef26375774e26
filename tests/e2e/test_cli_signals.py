"""Signals before there is a task: nothing is left half done, and no traceback is shown."""

import signal
from pathlib import Path

import pytest

from tests.chaos.house import House


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_up_the_build_of_the_runtime(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The builder's own process is ended, its folder cleared, and the next run begins anew."""
    cache = tmp_path / "cache"
    cache.mkdir()
    process = House(tmp_path / "home", cache, "").start("run", "What is 2 + 2?")
    assert process.stderr is not None
    while "pre-initialising" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped before a task was accepted" in err
    assert "Traceback" not in err
    assert not [path for path in cache.rglob("*") if path.name.startswith("building-")]
