"""How attachments are described."""

from pathlib import Path

import pytest

from multiagent.agents.described import HEAD_CHARS, Describer, is_table, kind_of
from multiagent.core.task import Attachment
from multiagent.storage.objects.local import LocalObjects


async def described(folder: Path, name: str, media_type: str, content: bytes) -> tuple[str, int, str]:
    objects = LocalObjects(folder)
    address = await objects.put("local", content)
    found = await Describer(objects).describe("local", Attachment(name, media_type, len(content), address))
    return found.kind, found.lines, found.head


async def test_lines_are_counted_with_or_without_a_last_line_end(tmp_path: Path) -> None:
    assert (await described(tmp_path, "a.txt", "text/plain", b"one\ntwo"))[1] == 2
    assert (await described(tmp_path, "a.txt", "text/plain", b"one\ntwo\n"))[1] == 2


async def test_the_head_is_the_beginning_without_a_byte_order_mark_and_never_half_a_letter(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + ("地" * 5000).encode()
    _, _, head = await described(tmp_path, "a.txt", "text/plain", content)
    assert head == "地" * HEAD_CHARS


async def test_a_pdf_has_no_head_and_is_not_read(tmp_path: Path) -> None:
    attachment = Attachment("a.pdf", "application/pdf", 10, "0" * 64)
    found = await Describer(LocalObjects(tmp_path)).describe("local", attachment)
    assert (found.kind, found.lines, found.head) == ("pdf", 0, "")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n5,6\n",
        "a;b;c\n1;2;3\n4;5;6\n7;8;9\n",
        "# comment\n# another\nAD\t+4230\tEurope/Andorra\nAE\t+2518\tAsia/Dubai\nAF\t+3431\tAsia/Kabul\nAG\t",
        "地区,销售额\n北,1\n南,2\n东,3\n",
    ],
)
def test_delimited_lines_are_a_table_whatever_the_name(text: str) -> None:
    assert is_table(text)
    assert kind_of("noname", "text/plain", text) == "table"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one line",
        "First, we went out, and then home.\nSecond, it rained, so we stayed.\nThird, we slept, at last.\nEnd.\n",
        "no delimiter here\nnor here\nnor here\nnor here\n",
    ],
)
def test_prose_is_no_table(text: str) -> None:
    assert not is_table(text)
    assert kind_of("notes.txt", "text/plain", text) == "text"


def test_json_goes_by_its_type_or_name() -> None:
    assert kind_of("a.json", "text/plain", "[1,\n2,\n3,\n4]\n") == "json"
    assert kind_of("a", "application/json", "{}") == "json"
