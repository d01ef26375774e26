"""How a build goes on the outside: steps watched, files moved in one go, nothing left of a failure."""

from pathlib import Path

import pytest

from multiagent.core.errors import SandboxError
from multiagent.sandbox import artifact, build, compiler

# Stands in for the compilers: writes what it was asked for, or fails, in the step's place.
WRITES = "import sys, pathlib; pathlib.Path(sys.argv[-1]).write_bytes(sys.argv[-3].encode())"
FAILS = "import sys; print('the log of ' + sys.argv[-3]); sys.exit(3)"
SHOWS = "import os, sys, pathlib; pathlib.Path(sys.argv[-1]).write_text(repr(sorted(os.environ)))"


def names(cache: Path) -> set[str]:
    return {path.name for path in (cache / artifact.FOLDER).iterdir()}


def test_a_build_leaves_a_runtime_and_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BOOT", WRITES)
    seen: list[tuple[str, float]] = []
    made = build.build(tmp_path, lambda stage, fraction: seen.append((stage, fraction)))
    assert made.path(tmp_path).read_bytes() == b"compile"
    assert artifact.find(tmp_path) == made
    assert names(tmp_path) == {"build.lock", made.file, f"{made.key}.json"}
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)
    assert seen[-1] == ("ready", 1.0)


def test_a_forced_build_replaces_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BOOT", WRITES)
    first = build.build(tmp_path)
    monkeypatch.setattr(compiler, "BOOT", SHOWS)
    second = build.build(tmp_path, force=True)
    assert second.sha256 != first.sha256
    assert artifact.find(tmp_path) == second


def test_the_compilers_see_nothing_of_the_user_s_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIAGENT_TEST_SECRET", "hunter2")
    monkeypatch.setattr(compiler, "BOOT", SHOWS)
    said = build.build(tmp_path).path(tmp_path).read_text(encoding="utf-8")
    assert "MULTIAGENT_TEST_SECRET" not in said
    assert "VIRTUAL_ENV" in said


def test_a_failed_build_shows_its_log_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BOOT", FAILS)
    with pytest.raises(SandboxError, match="the log of componentize"):
        build.build(tmp_path)
    assert names(tmp_path) == {"build.lock"}
    assert artifact.find(tmp_path) is None


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BOOT", "import threading; threading.Event().wait()")
    monkeypatch.setattr(build, "STEP_TIMEOUT_S", 0.0)
    with pytest.raises(SandboxError, match="took over"):
        build.build(tmp_path)
    assert names(tmp_path) == {"build.lock"}
