"""The list of promises and the check that holds a test run to it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.plugin import Proofs, summary, unproven
from tests.spec.requirements import ALL, Requirement

DUE = Requirement("X1", "it works")
LATER = Requirement("X2", "it works faster", "Next")


def test_ids_are_unique_and_each_has_a_promise() -> None:
    assert len({one.id for one in ALL}) == len(ALL)
    assert all(one.promise for one in ALL)


def test_a_due_promise_without_a_test_is_named() -> None:
    assert unproven((DUE, LATER), Proofs(), skips_count=True) == ["X1: it works (no test carries it)"]


def test_a_test_that_ran_proves_its_promise() -> None:
    proofs = Proofs(ran={"X1"})
    assert unproven((DUE, LATER), proofs, skips_count=False) == []
    assert summary((DUE, LATER), proofs) == "requirements: 1 of 1 proven, 1 deferred by name"


def test_a_skip_proves_nothing_in_ci_and_is_forgiven_elsewhere() -> None:
    proofs = Proofs(skipped={"X1"})
    assert unproven((DUE,), proofs, skips_count=False) == ["X1: it works (its tests were skipped)"]
    assert unproven((DUE,), proofs, skips_count=True) == []


PROBE = """
import pytest

@pytest.mark.requirement({id!r})
def test_one():
    {body}
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("id", "body", "code", "said"),
    [
        ("X1", "pass", 0, "1 of 1 proven"),
        ("X1", "pytest.skip('no')", 1, "its tests were skipped"),
        ("X9", "pass", 1, "unknown requirement"),
    ],
)
def test_a_full_run_is_held_to_the_list(tmp_path: Path, workers: str, id: str, body: str, code: int, said: str) -> None:  # noqa: A002
    done = _run(tmp_path, PROBE.format(id=id, body=body), workers)
    assert done.returncode == code, done.stdout
    assert said in done.stdout


def test_a_full_run_fails_where_no_test_carries_a_due_promise(tmp_path: Path) -> None:
    done = _run(tmp_path, "def test_one():\n    pass\n", "0")
    assert done.returncode == 1
    assert "X1: it works (no test carries it)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("=")


def test_a_selection_is_not_held_to_the_list(tmp_path: Path) -> None:
    done = _run(tmp_path, "def test_one():\n    pass\n", "0", "-k", "one")
    assert done.returncode == 0
    assert "requirements:" not in done.stdout


def _run(folder: Path, probe: str, workers: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A test run of one file with a list of one promise, in a project of its own."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = requirement\ntestpaths = probe\n")
    (folder / "probe").mkdir()
    (folder / "probe" / "test_probe.py").write_text(probe)
    (folder / "conftest.py").write_text(
        "import tests.spec.plugin as plugin\n"
        "from tests.spec.requirements import Requirement\n"
        "plugin.ALL = (Requirement('X1', 'it works'),)\n"
        "plugin.KNOWN = {'X1'}\n"
        "pytest_plugins = ['tests.spec.plugin']\n"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "pytest", "-n", workers, "-p", "no:cacheprovider", *more]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": root, "CI": "true"}, capture_output=True, text=True, check=False
    )
