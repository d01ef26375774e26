"""What a fresh clone needs: two commands, hash-locked installs, nothing left out of the commit."""

import os
import re
import subprocess
import sys

import pytest

from tests.house.rules_habits import LOCK_LINE
from tests.house.tree import ROOT, Tree

pytestmark = pytest.mark.requirement("A8.clone")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _locked(name: str) -> dict[str, str]:
    hits = (LOCK_LINE.match(line) for line in _text(f"requirements/{name}.lock").splitlines())
    return {hit["name"]: hit["version"] for hit in hits if hit}


def test_ci_calls_the_readmes_second_command_and_the_linters() -> None:
    assert re.search(r"^make run\b.*\n^make test\b", _text("README.md"), re.MULTILINE)
    assert re.search(r"^make test$", _text(".ci/run"), re.MULTILINE)
    assert re.search(r"^make lint type$", _text(".ci/run"), re.MULTILINE)


def test_what_ci_and_the_verbs_call_can_be_called() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    for script in re.findall(r"\bsh ((?:scripts|examples)/\S+\.sh)", _text("Makefile") + _text(".ci/run")):
        assert subprocess.run(["sh", "-n", ROOT / script], check=False).returncode == 0, script


def test_nothing_is_installed_but_what_the_locks_hold() -> None:
    installs = [line for line in _text("Makefile").splitlines() if " install " in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation --editable ." in line, line


def test_the_test_environment_adds_to_the_products_and_changes_nothing_in_it() -> None:
    run, dev = _locked("run"), _locked("dev")
    assert run
    assert {name: dev.get(name) for name in run} == run


@pytest.mark.parametrize("verb", ["run", "test", "test-unit", "fmt", "lint", "type", "bench", "servers", "lock"])
def test_each_verb_is_there_and_says_what_it_does(verb: str) -> None:
    assert re.search(rf"^{verb}:.*## \w", _text("Makefile"), re.MULTILINE)
    assert re.search(rf"^\.PHONY:.*\b{verb}\b", _text("Makefile"), re.MULTILINE)


def test_a_python_is_found_or_the_message_says_how_to_get_one() -> None:
    found = subprocess.run(["sh", ROOT / "scripts/python.sh"], capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert found.stdout.strip()
    lost = subprocess.run(
        ["/bin/sh", ROOT / "scripts/python.sh"], env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert lost.returncode == 1
    assert "PYTHON=/path/to/python3 make run" in lost.stderr


def test_what_is_ignored_holds_no_source() -> None:
    ignored = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "src", "tests", "configs", "policies"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [name for name in ignored.stdout.split() if "__pycache__" not in name] == []


@pytest.mark.skipif(not os.environ.get("CI"), reason="while working, files are not committed yet")
def test_in_ci_every_file_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout == ""


def test_the_package_that_is_installed_is_this_checkouts() -> None:
    code = "import multiagent.core.errors as m; print(m.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(ROOT))
    assert Tree().package
