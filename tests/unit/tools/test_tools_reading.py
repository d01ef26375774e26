"""What an attachment is found to be, and how its lines are counted."""

from pathlib import Path

from multiagent.core.task import Attachment
from multiagent.storage.objects.local import LocalObjects
from multiagent.tools.builtin.reading import HEAD, Inspection, inspect_attachment


async def inspected(folder: Path, content: bytes) -> Inspection:
    objects = LocalObjects(folder)
    address = await objects.put("local", content)
    return await inspect_attachment(objects, "local", Attachment("a.txt", "text/plain", len(content), address))


async def test_lines_are_counted_with_or_without_a_last_line_end(tmp_path: Path) -> None:
    assert (await inspected(tmp_path, b"one\ntwo")).lines == 2
    assert (await inspected(tmp_path, b"one\ntwo\n")).lines == 2


async def test_the_head_is_the_beginning_without_a_byte_order_mark_and_never_half_a_letter(tmp_path: Path) -> None:
    found = await inspected(tmp_path, b"\xef\xbb\xbf" + ("地" * 5000).encode())
    assert found.head == "地" * HEAD
