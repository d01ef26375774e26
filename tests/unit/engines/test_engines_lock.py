"""One owner a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiagent.core.errors import EngineOwned, StorageError
from multiagent.engines.embedded.lock import own, owner


def test_a_second_owner_is_refused_with_the_firsts_pid(tmp_path: Path) -> None:
    with own(tmp_path):
        assert owner(tmp_path) == os.getpid()
        with pytest.raises(EngineOwned) as refused, own(tmp_path):
            pass
        assert refused.value.details["pid"] == os.getpid()
        assert str(os.getpid()) in refused.value.message
    assert owner(tmp_path) is None
    with own(tmp_path):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "from multiagent.engines.embedded.lock import own\n"
        "with own(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert done.returncode < 0
    assert owner(tmp_path) is None
    with own(tmp_path):
        assert owner(tmp_path) == os.getpid()


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be opened"), own(tmp_path / "file"):
        pass


def test_a_home_that_nobody_ever_owned_has_no_owner(tmp_path: Path) -> None:
    assert owner(tmp_path) is None
