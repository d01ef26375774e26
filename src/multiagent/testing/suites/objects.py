"""What every object store must do.

A test class of an adapter inherits from ``ObjectsSuite`` and provides the fixture ``objects``.
"""

import asyncio
import hashlib
from pathlib import Path

import pytest

from multiagent.core.errors import AttachmentRejected, InvalidInput, NotFound
from multiagent.storage.objects.base import Objects

TENANT = "acme"
LARGE = bytes(range(256)) * 12_000
"""About 3 MB: several pieces."""


class ObjectsSuite:
    """Bytes under the hash of their content."""

    @pytest.mark.parametrize("data", [b"", b"abc", LARGE])
    async def test_bytes_are_found_under_their_hash(self, objects: Objects, data: bytes) -> None:
        address = await objects.put(TENANT, data)
        assert address == hashlib.sha256(data).hexdigest()
        assert await objects.get(TENANT, address) == data
        assert b"".join([piece async for piece in objects.stream(TENANT, address)]) == data

    async def test_a_large_object_comes_in_pieces(self, objects: Objects) -> None:
        address = await objects.put(TENANT, LARGE)
        sizes = [len(piece) async for piece in objects.stream(TENANT, address)]
        assert len(sizes) > 2
        assert max(sizes) <= 1 << 20

    async def test_storing_the_same_again_does_nothing(self, objects: Objects) -> None:
        addresses = await asyncio.gather(*(objects.put(TENANT, LARGE) for _ in range(8)))
        assert set(addresses) == {hashlib.sha256(LARGE).hexdigest()}
        assert await objects.get(TENANT, addresses[0]) == LARGE

    async def test_a_file_is_copied_in_pieces(self, objects: Objects, tmp_path: Path) -> None:
        source = tmp_path / "数据.csv"
        source.write_bytes(LARGE)
        address, size = await objects.put_file(TENANT, source, len(LARGE))
        assert (address, size) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
        assert await objects.put_file(TENANT, source, len(LARGE)) == (address, size)
        source.write_bytes(b"changed")
        assert await objects.get(TENANT, address) == LARGE

    async def test_a_file_over_the_limit_is_rejected_and_leaves_nothing(self, objects: Objects, tmp_path: Path) -> None:
        source = tmp_path / "large.bin"
        source.write_bytes(LARGE)
        with pytest.raises(AttachmentRejected, match=r"large\.bin is larger than"):
            await objects.put_file(TENANT, source, len(LARGE) - 1)
        with pytest.raises(NotFound):
            await objects.get(TENANT, hashlib.sha256(LARGE).hexdigest())

    async def test_a_file_that_cannot_be_read_is_rejected(self, objects: Objects, tmp_path: Path) -> None:
        for wrong in (tmp_path / "missing.csv", tmp_path):
            with pytest.raises(AttachmentRejected, match="cannot be read"):
                await objects.put_file(TENANT, wrong, 1000)

    async def test_what_is_not_there_is_not_found(self, objects: Objects) -> None:
        address = hashlib.sha256(b"never stored").hexdigest()
        with pytest.raises(NotFound):
            await objects.get(TENANT, address)
        with pytest.raises(NotFound):
            _ = [piece async for piece in objects.stream(TENANT, address)]

    async def test_a_tenant_sees_nothing_of_another(self, objects: Objects) -> None:
        address = await objects.put(TENANT, b"secret")
        with pytest.raises(NotFound):
            await objects.get("umbrella", address)

    @pytest.mark.parametrize("tenant", ["", "..", ".", "a/b", "a\\b", "a\0b", "/etc", "x" * 200])
    async def test_a_tenant_cannot_name_a_path(self, objects: Objects, tenant: str) -> None:
        with pytest.raises(InvalidInput, match="tenant"):
            await objects.put(tenant, b"x")

    @pytest.mark.parametrize("address", ["", "..", "../" * 20 + "etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
    async def test_an_address_is_64_hex_digits(self, objects: Objects, address: str) -> None:
        with pytest.raises(InvalidInput, match="address"):
            await objects.get(TENANT, address)
