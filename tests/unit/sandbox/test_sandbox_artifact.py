"""Where the runtime lies, and when it is trusted."""

import importlib.metadata
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import SandboxBusy, SandboxDenied, SandboxUnbuilt
from multiagent.sandbox import artifact, build
from multiagent.sandbox.artifact import Artifact
from multiagent.sandbox.factory import default_cache_dir, is_built
from multiagent.sandbox.hosted import Output

BODY = b"native code"


@pytest.fixture
def built(tmp_path: Path) -> Artifact:
    """A runtime in ``tmp_path``, as a build would have left it."""
    folder = artifact.open_folder(tmp_path)
    made = Artifact(artifact.source_key(), "x.cwasm", "", "", len(BODY), 1.0)
    (folder / made.file).write_bytes(BODY)
    (folder / made.file).chmod(0o600)
    artifact.publish(folder, made)
    return made


def test_a_published_runtime_is_found(built: Artifact, tmp_path: Path) -> None:
    assert artifact.find(tmp_path) == built
    assert artifact.require(tmp_path).read_bytes() == BODY
    assert is_built(tmp_path)


def test_the_folder_is_the_user_s_alone(tmp_path: Path) -> None:
    (tmp_path / "sandbox").mkdir(mode=0o755)
    assert artifact.open_folder(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_missing_runtime_names_the_command_that_builds_it(tmp_path: Path) -> None:
    assert not is_built(tmp_path)
    with pytest.raises(SandboxUnbuilt, match="multiagent sandbox build"):
        artifact.require(tmp_path)


def test_a_runtime_of_the_wrong_size_is_not_used(built: Artifact, tmp_path: Path) -> None:
    built.path(tmp_path).write_bytes(BODY[:-1])
    assert artifact.find(tmp_path) is None


def test_a_manifest_that_cannot_be_read_counts_as_none(built: Artifact, tmp_path: Path) -> None:
    (tmp_path / "sandbox" / f"{built.key}.json").write_bytes(b"{")
    assert artifact.find(tmp_path) is None


def test_a_runtime_that_others_may_write_is_refused(built: Artifact, tmp_path: Path) -> None:
    built.path(tmp_path).chmod(0o666)
    with pytest.raises(SandboxDenied):
        artifact.find(tmp_path)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SandboxDenied, match="MULTIAGENT_CACHE"):
        artifact.open_folder(tmp_path)


def test_publishing_drops_what_was_not_used_for_a_month(built: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    for name in ("old.cwasm", "fresh.cwasm"):
        (folder / name).write_bytes(b"")
    os.utime(folder / "old.cwasm", (0, 0))
    os.utime(folder / built.file, (0, 0))
    artifact.publish(folder, built)
    assert {path.name for path in folder.glob("*.cwasm")} == {"fresh.cwasm", built.file}


def test_only_one_builds_at_a_time(tmp_path: Path) -> None:
    with artifact.build_lock(tmp_path, 1.0), pytest.raises(SandboxBusy), artifact.build_lock(tmp_path, 0.0):
        pass
    with artifact.build_lock(tmp_path, 0.0):
        pass


def test_the_key_changes_with_the_guest_and_with_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {artifact.source_key(), artifact.source_key()}
    assert len(keys) == 1
    (tmp_path / "guest_main.py").write_text("changed", encoding="utf-8")
    monkeypatch.setattr(artifact, "GUEST", tmp_path)
    keys.add(artifact.source_key())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0")
    keys.add(artifact.source_key())
    monkeypatch.setattr(artifact, "_cpu_features", lambda: "other")
    keys.add(artifact.source_key())
    assert len(keys) == 4


def test_a_built_runtime_is_not_built_again(built: Artifact, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    assert build.build(tmp_path, lambda stage, fraction: seen.append((stage, fraction))) == built
    assert seen == [("ready", 1.0)]


@given(st.lists(st.floats(0, 10_000), min_size=1))
def test_progress_never_goes_back_nor_past_its_step(times: list[float]) -> None:
    fractions = [build.COMPILE.fraction(elapsed) for elapsed in sorted(times)]
    assert fractions == sorted(fractions)
    assert all(0.55 <= fraction < 0.98 for fraction in fractions)


def test_the_cache_folder_follows_the_environment() -> None:
    assert default_cache_dir({"MULTIAGENT_CACHE": "/c", "HOME": "/h"}) == Path("/c")
    assert default_cache_dir({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/multiagent")
    assert default_cache_dir({"HOME": "/h"}) == Path("/h/.cache/multiagent")


def test_output_keeps_what_fits_and_rings_once() -> None:
    rung: list[int] = []
    output = Output(5, lambda: rung.append(1))
    out, err = output.sink(output.stdout), output.sink(output.stderr)
    assert (out(b"abc"), err(b"defg"), out(b"h"), out(b"")) == (3, 4, 1, 0)
    assert (bytes(output.stdout), bytes(output.stderr), output.flooded, rung) == (b"abc", b"de", True, [1])
