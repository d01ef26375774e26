"""What a broken, foreign, newer, locked or unwritable database, and a full disk, look like to the caller."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from multiagent.core.errors import StorageCorrupt, StorageError, StorageFull, StorageNewer, StorageUnavailable
from multiagent.storage.factory import DATABASE, open_reader, open_storage
from multiagent.storage.sql.ops import UpdateTask
from multiagent.storage.sql.sqlite.reader import SqliteReader
from multiagent.storage.sql.sqlite.writer import SqliteWriter
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, appends, creates

BIG = b'"' + b"x" * 60_000 + b'"'


async def opened(home: Path) -> None:
    """Open and close storage."""
    async with open_storage(home, clock=ManualClock(), ids=CountedIds()):
        pass


async def test_a_file_that_is_no_database_is_corrupt_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"something else entirely " * 100)
    with pytest.raises(StorageCorrupt, match="move it away"):
        await opened(tmp_path)
    assert (tmp_path / DATABASE).read_bytes().startswith(b"something else")


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    for version in (0, 1):
        path = tmp_path / str(version) / DATABASE
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (a)")
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(StorageCorrupt, match="another program"):
            await opened(path.parent)


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageNewer, match="upgrade the program"):
        await opened(tmp_path)


async def test_damaged_pages_are_corrupt_for_readers_and_the_writer(tmp_path: Path) -> None:
    await opened(tmp_path)
    path = tmp_path / DATABASE
    with sqlite3.connect(path) as connection:
        roots = [
            row[0] for row in connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name LIKE 'task_%'")
        ]
    connection.close()
    data = bytearray(path.read_bytes())
    for page in roots:
        data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    writer = await SqliteWriter.open(path, CountedIds())
    with pytest.raises(StorageCorrupt, match="recover"):
        await writer.commit(creates())
    reader = SqliteReader(path)
    with pytest.raises(StorageCorrupt):
        await reader.task(TENANT, "t1")
    with pytest.raises(StorageCorrupt):
        await reader.tasks(TENANT)
    await reader.close()
    await writer.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Where the tests run as root, who may write anywhere: as somebody else."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_folder_that_may_not_be_written_is_told() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        with as_nobody(), pytest.raises(StorageError, match=r"permission|MULTIAGENT_HOME"):
            await opened(folder / "home")
        folder.chmod(0o755)
        await opened(folder)
        folder.chmod(0o555)
        for file in folder.iterdir():
            file.chmod(0o444)
        with as_nobody(), pytest.raises(StorageError, match=r"permissions|MULTIAGENT_HOME"):
            await opened(folder)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StorageError, match="MULTIAGENT_HOME"):
        await opened(tmp_path / "home")


async def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    await opened(tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert (tmp_path / "home" / DATABASE).stat().st_mode & 0o077 == 0


async def test_a_lock_of_another_process_is_waited_for_then_told_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    writer = await SqliteWriter.open(path, CountedIds(), busy_ms=50)
    await writer.commit(creates())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answers = await asyncio.gather(*(writer.commit(appends(f"w/{n}")) for n in range(5)), return_exceptions=True)
    assert [type(one) for one in answers] == [StorageUnavailable] * 5
    other.execute("ROLLBACK")
    (after,) = await writer.commit(appends("w/9"))
    assert getattr(after, "header").seq == 1  # noqa: B009 — an object by its type
    other.close()
    await writer.close()


async def test_queued_writes_wait_for_a_lock_and_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    writer = await SqliteWriter.open(path, CountedIds(), busy_ms=1)
    await writer.commit(creates())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.queue(appends("w/1"))
    with pytest.raises(StorageUnavailable):
        await writer.commit(appends("a/1"))
    writer.queue(appends("w/2"))
    with pytest.raises(StorageUnavailable):
        await writer.commit(appends("a/2"))
    other.execute("ROLLBACK")
    await writer.commit(appends("a/3"))
    other.close()
    reader = SqliteReader(path)
    assert [one.header.key for one in await reader.events(TENANT, "t1")] == ["w/1", "w/2", "a/3"]
    await reader.close()
    await writer.close()


async def test_a_queued_write_that_cannot_succeed_closes_the_writer(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())
    await writer.commit(creates())
    writer.queue(appends("w/1", "no such task"))
    with pytest.raises(StorageError, match="no such task"):
        await writer.commit(appends("a/1"))
    with pytest.raises(StorageError, match="queued write failed"):
        await writer.commit(appends("a/2"))
    await writer.close()
    reader = SqliteReader(tmp_path / DATABASE)
    assert await reader.events(TENANT, "t1") == ()
    await reader.close()


async def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())
    waiting = asyncio.ensure_future(writer.commit(creates()))
    await asyncio.sleep(0)
    await writer.close()
    await waiting
    with pytest.raises(StorageUnavailable, match="closed"):
        await writer.commit(creates())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_defect_ends_the_writer_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread's traceback goes to the thread's own hook; whoever waits gets an error."""
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())

    def broken(*_: object) -> object:
        raise AttributeError("a defect")

    monkeypatch.setattr("multiagent.storage.sql.sqlite.writer.perform", broken)
    answers = await asyncio.gather(*(writer.commit(creates(f"t{n}")) for n in range(3)), return_exceptions=True)
    assert [type(one) for one in answers] == [StorageError] * 3
    with pytest.raises(StorageError, match="has died"):
        await writer.commit(creates())
    await writer.close()


async def test_a_full_database_fails_what_does_not_fit_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())
    await writer.commit(creates())
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages + 12}")
    commits = [writer.commit(appends(f"w/{n}", payload=BIG if n == 3 else b"{}")) for n in range(6)]
    answers = await asyncio.gather(*commits, return_exceptions=True)
    assert [isinstance(one, StorageFull) for one in answers] == [n == 3 for n in range(6)]
    writer.queue(appends("w/6", payload=BIG))
    with pytest.raises(StorageFull, match="free space"):
        await writer.commit(appends("w/7"))
    writer._connection.execute("PRAGMA max_page_count = 100000")
    await writer.commit(appends("w/8"))
    reader = SqliteReader(tmp_path / DATABASE)
    events = await reader.events(TENANT, "t1")
    assert [one.header.key for one in events] == ["w/0", "w/1", "w/2", "w/4", "w/5", "w/6", "w/8"]
    assert [one.header.seq for one in events] == [1, 2, 3, 4, 5, 6, 7]
    await reader.close()
    await writer.close()


FILLS = """
import asyncio, json, pathlib, resource, signal, sys
from multiagent.core.errors import StorageFull
from multiagent.storage.factory import open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, appends, creates

home, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    async with open_storage(home, clock=ManualClock(), ids=CountedIds()) as storage:
        await storage.writer.commit(creates())
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        stored, full = [], 0
        for n in range(400):
            try:
                await storage.writer.commit(appends(f"w/{n}", payload=b'"' + b"x" * 20_000 + b'"'))
                stored.append(f"w/{n}")
            except StorageFull:
                full += 1
                if full == 3:
                    break
        try:
            await storage.objects.put(TENANT, b"y" * 9_000_000)
        except StorageFull:
            full += 100
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            (home / "ballast").unlink()
        await storage.writer.commit(appends("after"))
        await storage.objects.put(TENANT, b"y" * 100_000)
        events = await storage.reader.events(TENANT, "t1")
        left = [str(one) for one in (home / "objects").rglob(".part-*")]
        print(json.dumps([full, stored + ["after"] == [one.header.key for one in events], len(stored), left]))

asyncio.run(main())
"""


def fills(home: Path, limit: int) -> list[object]:
    """Fill a disk, or a file up to its limit, in a process of its own; return what it saw."""
    run = subprocess.run(
        [sys.executable, "-c", FILLS, str(home), str(limit)], capture_output=True, text=True, check=False, timeout=90
    )
    assert run.returncode == 0, run.stderr
    answer: list[object] = json.loads(run.stdout)
    return answer


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on file sizes here")
def test_a_file_that_may_not_grow_is_a_full_disk_and_nothing_committed_is_lost(tmp_path: Path) -> None:
    full, equal, stored, left = fills(tmp_path, 2_000_000)
    assert (full, equal, left) == (103, True, [])
    assert isinstance(stored, int)
    assert stored > 20


def test_a_full_disk_loses_nothing_and_writes_go_on_when_there_is_room(tmp_path: Path) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (disk / "ballast").write_bytes(b"z" * 4_000_000)
        full, equal, stored, left = fills(disk, 0)
    finally:
        subprocess.run([umount, "-l", str(disk)], check=True)
    assert (full, equal, left) == (103, True, [])
    assert isinstance(stored, int)
    assert stored > 20


async def test_a_reader_works_beside_an_owner_and_without_one_and_takes_no_lock(tmp_path: Path) -> None:
    async with open_reader(tmp_path) as nothing:
        assert nothing is None
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage:
        await storage.writer.commit(creates())
        async with open_reader(tmp_path) as reader:
            assert reader is not None
            assert len(await reader.tasks(TENANT)) == 1
            assert await storage.writer.commit(creates("t2"))
            assert len(await reader.tasks(TENANT)) == 2
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.suffix == ".db"}
    async with open_reader(tmp_path) as reader:
        assert reader is not None
        assert await reader.task(TENANT, "t1") is not None
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.suffix == ".db"} == before


async def test_a_reader_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"something else entirely " * 100)
    async with open_reader(tmp_path) as reader:
        assert reader is not None
        with pytest.raises(StorageCorrupt):
            await reader.task(TENANT, "t1")
    for version, error in ((0, StorageUnavailable), (99, StorageNewer)):
        (tmp_path / DATABASE).unlink()
        with sqlite3.connect(tmp_path / DATABASE) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        async with open_reader(tmp_path) as reader:
            assert reader is not None
            with pytest.raises(error):
                await reader.tasks(TENANT)


async def test_a_process_that_writes_nothing_takes_no_lock(tmp_path: Path) -> None:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage:
        await storage.writer.commit(creates(), appends("w/1"))
        async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as second:
            assert await second.reader.task(TENANT, "t1") is not None
        assert await storage.reader.log(TENANT) == ()


async def test_two_writers_take_turns_and_no_event_is_lost_or_numbered_twice(tmp_path: Path) -> None:
    """Only one process should write, but where two do, each learns anew what the other changed."""
    ids = CountedIds()
    async with open_storage(tmp_path, clock=ManualClock(), ids=ids, synchronous="NORMAL") as one:
        async with open_storage(tmp_path, clock=ManualClock(), ids=ids, synchronous="NORMAL") as two:
            await one.writer.commit(creates())
            for n in range(100):
                await asyncio.gather(one.writer.commit(appends(f"a/{n}")), two.writer.commit(appends(f"b/{n}")))
            await one.writer.commit(UpdateTask(tenant=TENANT, id="t1", time=0, status="completed"))
        events = await one.reader.events(TENANT, "t1")
        assert [event.header.seq for event in events] == list(range(1, 201))
        assert {event.header.key for event in events} == {f"{side}/{n}" for side in "ab" for n in range(100)}
        assert [row.seq for row in await one.reader.log(TENANT)] == list(range(1, 201))
