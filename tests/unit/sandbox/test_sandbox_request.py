"""What a request must be, and what a worker is sent of it."""

import io
import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import InvalidInput, SandboxDenied
from multiagent.sandbox import frames
from multiagent.sandbox.base import Grant, Limits, RunRequest
from multiagent.sandbox.frames import Job
from multiagent.sandbox.pooled import FILES, FOLDER_PREFIX, LEFT_S, check, job_of, sweep
from multiagent.sandbox.quota import ENTRY_BYTES, Quota, folder_size


@given(st.text(st.characters(codec="utf-8")), st.integers() | st.text(st.characters(codec="utf-8")))
def test_code_and_inputs_reach_the_guest_unchanged(code: str, inputs: object) -> None:
    request = RunRequest(code, inputs=json.dumps(inputs))
    check(request)
    assert json.loads(job_of(request, None).request) == {"code": code, "inputs": inputs, "folder": None}


@given(st.binary(max_size=200), st.integers(0, 210))
def test_a_frame_is_read_whole_or_not_at_all(body: bytes, cut: int) -> None:
    framed = len(body).to_bytes(4, "big") + body
    read = frames.read_exactly(io.BytesIO(framed[:cut]))
    assert read == (body if cut >= len(framed) else None)


def test_a_frame_of_absurd_length_is_not_read() -> None:
    assert frames.read_exactly(io.BytesIO(b"\xff\xff\xff\xff" + bytes(100))) is None


def test_a_job_carries_every_limit(tmp_path: Path) -> None:
    limits = Limits(1.0, 2, 3, 4, 5, 6, 7, 8)
    job = job_of(RunRequest("1", grants=(Grant(str(tmp_path), "/d", writable=True),), limits=limits), "/laid")
    assert msgspec.msgpack.decode(frames.encode(job)[4:], type=Job) == job
    assert (job.timeout_s, job.memory_bytes, job.fuel, job.output_bytes, job.value_bytes) == (1.0, 2, 3, 4, 5)
    assert (job.file_bytes, job.table_elements, job.instances) == (6, 7, 8)
    assert [(mount.guest, mount.writable) for mount in job.mounts] == [("/d", True), (FILES, False)]


def test_a_granted_link_is_resolved_once_by_the_host(tmp_path: Path) -> None:
    """The folder that was checked is the folder that is opened, even if the link changes in between."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    job = job_of(RunRequest("1", grants=(Grant(str(tmp_path / "link"), "/d"),)), None)
    assert job.mounts[0].path == str((tmp_path / "real").resolve())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a\0b", "x" * 256])
def test_a_file_s_name_is_plain(name: str) -> None:
    with pytest.raises(InvalidInput):
        check(RunRequest("1", files=((name, b""),)))


@pytest.mark.parametrize("guest", ["", "/", "a", "/a/", "/a/../b", "//a", "/a\0", FILES])
def test_a_grant_s_place_in_the_guest_is_plain(guest: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        check(RunRequest("1", grants=(Grant(str(tmp_path), guest),)))


def test_two_grants_cannot_have_one_place(tmp_path: Path) -> None:
    grant = Grant(str(tmp_path), "/a")
    with pytest.raises(InvalidInput):
        check(RunRequest("1", grants=(grant, grant)))


def test_a_file_cannot_be_granted_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(SandboxDenied):
        check(RunRequest("1", grants=(Grant(str(tmp_path / "f"), "/a"),)))


def test_a_folder_s_size_counts_files_folders_and_links_but_follows_none(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "sub" / "b").write_bytes(bytes(500))
    (tmp_path / "loop").symlink_to(".")
    link = (tmp_path / "loop").lstat().st_size
    assert folder_size([str(tmp_path)]) == 4 * ENTRY_BYTES + 1500 + link


def test_the_files_of_killed_runs_are_swept_after_a_day(tmp_path: Path) -> None:
    for name, age in ((f"{FOLDER_PREFIX}old", LEFT_S + 60), (f"{FOLDER_PREFIX}fresh", 60), ("other", LEFT_S + 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    sweep(tmp_path, 1e9)
    assert {path.name for path in tmp_path.iterdir()} == {f"{FOLDER_PREFIX}fresh", "other"}


def test_a_folder_that_is_gone_has_no_size(tmp_path: Path) -> None:
    assert folder_size([str(tmp_path / "gone")]) == 0


async def test_a_quota_bounds_growth_and_not_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(bytes(10_000))
    quota = Quota([str(tmp_path)], 2_000)
    await quota.measure()
    (tmp_path / "a").write_bytes(bytes(1_000))
    assert not await quota.check()
    (tmp_path / "b").write_bytes(bytes(1_000))
    assert await quota.check()
    (tmp_path / "b").unlink()
    assert await quota.check()
