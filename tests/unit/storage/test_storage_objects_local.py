"""Local objects: who may read them, damage, and what a refused write leaves behind."""

from pathlib import Path

import pytest

from multiagent.core.errors import AttachmentRejected, StorageCorrupt, StorageError
from multiagent.core.messages import message_hash, says
from multiagent.storage.factory import open_reader, open_storage
from multiagent.storage.objects.local import LocalObjects
from multiagent.storage.sql.ops import StoreMessage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds

TENANT = "acme"


async def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    address = await objects.put(TENANT, b"secret")
    source = tmp_path / "a.csv"
    source.write_bytes(b"a,b\n")
    await objects.put_file(TENANT, source, 100)
    for path in [tmp_path / "objects", *(tmp_path / "objects").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    place = await objects.local_path(TENANT, address)
    assert place is not None
    assert place.read_bytes() == b"secret"


async def test_bytes_that_do_not_fit_their_address_are_corrupt(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    address = await objects.put(TENANT, b"secret")
    place = await objects.local_path(TENANT, address)
    assert place is not None
    place.write_bytes(b"forged")
    with pytest.raises(StorageCorrupt, match="backup"):
        await objects.get(TENANT, address)
    with pytest.raises(StorageCorrupt):
        _ = [piece async for piece in objects.stream(TENANT, address)]


async def test_a_half_written_object_is_written_again(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    address = await objects.put(TENANT, b"secret")
    place = await objects.local_path(TENANT, address)
    assert place is not None
    place.write_bytes(b"sec")
    assert await objects.put(TENANT, b"secret") == address
    assert await objects.get(TENANT, address) == b"secret"


async def test_a_rejected_file_leaves_no_part_behind(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    source = tmp_path / "large.bin"
    source.write_bytes(b"x" * 3_000_000)
    with pytest.raises(AttachmentRejected):
        await objects.put_file(TENANT, source, 2_000_000)
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file")
    with pytest.raises(StorageError, match="permissions"):
        await LocalObjects(tmp_path / "objects").put(TENANT, b"x")


@pytest.mark.requirement("S.data.objects")
async def test_a_large_message_is_stored_once_as_an_object(tmp_path: Path) -> None:
    large = says("user", "x" * 300_000)
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage:
        for _ in range(2):
            await storage.writer.commit(StoreMessage(tenant=TENANT, message=large, time=0))
        assert await storage.reader.chain(TENANT, message_hash(large)) == (large,)
    assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 1
    async with open_reader(tmp_path) as reader:
        assert reader is not None
        assert await reader.chain(TENANT, message_hash(large)) == (large,)
