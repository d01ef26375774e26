"""How attachments are described: as the tools read them."""

from pathlib import Path

import pytest

from multiagent.agents.described import Described, Describer
from multiagent.core.errors import NotFound, ToolTimeout
from multiagent.core.task import Attachment
from multiagent.storage.objects.local import LocalObjects
from multiagent.tools.builtin.reading import AttachmentReader


async def described(folder: Path, name: str, media_type: str, content: bytes) -> Described:
    objects = LocalObjects(folder)
    address = await objects.put("local", content)
    return await Describer(objects).describe("local", Attachment(name, media_type, len(content), address))


async def test_a_description_is_what_the_tools_find_in_the_file(tmp_path: Path) -> None:
    """Also where it is not UTF-8: the beginning is readable, and the encoding is said."""
    content = "地区;销售额\n北;1\n南;2\n东;3\n".encode("gb18030")
    found = await described(tmp_path, "a.txt", "text/plain", content)
    head = content.decode("gb18030")
    assert found == Described("a.txt", "text/plain", len(content), "table", 4, head, "GB18030 (a guess)")


async def test_a_missing_object_is_not_found_and_bytes_that_are_no_text_are_binary(tmp_path: Path) -> None:
    found = await described(tmp_path, "a.csv", "text/csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert (found.kind, found.lines, found.head, found.encoding) == ("binary", 0, "", "")
    with pytest.raises(NotFound):
        await Describer(LocalObjects(tmp_path)).describe("local", Attachment("b", "text/plain", 1, "0" * 64))


async def test_a_file_that_cannot_be_read_in_time_stops_no_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_self: AttachmentReader, _tenant: str, _attachment: Attachment) -> object:
        raise ToolTimeout("it could not be read within 30 s")

    monkeypatch.setattr(AttachmentReader, "inspect", slow)
    assert (await described(tmp_path, "a.pdf", "application/pdf", b"%PDF-1.7")).kind == "binary"
