"""Attachments on their way in."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import AttachmentRejected
from multiagent.core.label import UNTRUSTED
from multiagent.orchestrator.uploads import NAME_CHARS, Uploads, inspect, safe_name, unique_names
from multiagent.storage.objects.local import LocalObjects

MOST = 1 << 20


async def test_files_are_copied_under_their_hash_and_marked_untrusted(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n")
    objects = LocalObjects(tmp_path / "objects")
    (taken,) = await Uploads(objects).take("local", [file])
    file.write_text("changed later")
    assert await objects.get("local", taken.object) == b"x,y\n1,2\n"
    assert (taken.name, taken.media_type, taken.size, taken.labels) == ("a.csv", "text/csv", 8, (UNTRUSTED,))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b" \n\n", "is empty"),
        ("x.bin", b"abc\0def", "binary"),
        ("x.xlsx", b"PK\x03\x04rest", "ZIP archive"),
        ("x.png", b"\x89PNG\r\n", "PNG"),
        ("x.db", b"SQLite format 3\0", "SQLite"),
        ("gbk.txt", "地区,销售额".encode("gb18030"), "not UTF-8"),
        ("latin.txt", b"caf\xe9 au lait", "not UTF-8"),
        ("cut.txt", "é".encode()[:1], "not UTF-8"),
        ("wide.txt", "text".encode("utf-16"), "UTF-16"),
        ("large.txt", b"x" * (MOST + 1), "larger than 1 MiB"),
    ],
)
@pytest.mark.requirement("S.safety.input")
def test_a_file_no_agent_could_use_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(AttachmentRejected, match=says) as refusal:
        inspect(file, MOST)
    assert name in refusal.value.message


def test_a_missing_file_a_directory_and_a_pipe_are_refused(tmp_path: Path) -> None:
    import os

    with pytest.raises(AttachmentRejected, match="no such file"):
        inspect(tmp_path / "none.csv", MOST)
    with pytest.raises(AttachmentRejected, match="directory"):
        inspect(tmp_path, MOST)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AttachmentRejected, match="regular file"):
        inspect(tmp_path / "pipe", MOST)


async def test_one_bad_file_keeps_all_out(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("good")
    objects = LocalObjects(tmp_path / "objects")
    with pytest.raises(AttachmentRejected):
        await Uploads(objects).take("local", [tmp_path / "good.txt", tmp_path / "none"])
    assert not list((tmp_path / "objects").rglob("*")) or not any(
        one.is_file() for one in (tmp_path / "objects").rglob("*")
    )


async def test_too_many_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(AttachmentRejected, match="at most 2"):
        await Uploads(LocalObjects(tmp_path), most_files=2).take("local", [tmp_path / "a.txt"] * 3)


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.tsv", b"a\tb\n", "text/tab-separated-values"),
        ("zone.tab", b"a\tb\n", "text/tab-separated-values"),
        ("a.md", b"# a\n", "text/markdown"),
        ("a.json", b"{}", "application/json"),
        ("noname", b"[1, 2]\n", "application/json"),
        ("notes.txt", b"hello", "text/plain"),
        ("a.pdf", b"%PDF-1.7 \xff\xfe", "application/pdf"),
        ("bom.csv", b"\xef\xbb\xbfa,b\n", "text/csv"),
        ("表.csv", "地区,销售额\n".encode(), "text/csv"),
    ],
)
def test_the_media_type_follows_from_name_and_content(
    tmp_path: Path, name: str, content: bytes, media_type: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert inspect(tmp_path / name, MOST) == media_type


def test_a_letter_split_between_two_pieces_is_still_utf8(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_bytes(b"x" * ((1 << 20) - 1) + "é".encode())
    assert inspect(file, 4 * MOST) == "text/plain"


def test_equal_names_are_told_apart_also_where_case_does_not_count() -> None:
    assert unique_names(["a.csv", "A.csv", "a.csv", "b"]) == ["a.csv", "A-2.csv", "a-3.csv", "b"]


@given(st.lists(st.text(max_size=200), max_size=6))
def test_every_name_becomes_a_safe_unique_one(names: list[str]) -> None:
    safe = unique_names(names)
    assert len({one.casefold() for one in safe}) == len(names)
    for one in safe:
        assert one
        assert len(one) <= NAME_CHARS + 4
        assert not one.startswith(".")
        assert not set(one) & set("/\\\0\n$`\"'|<>")


def test_a_readable_name_stays_as_it_is() -> None:
    assert safe_name("销售 数据 (2024).csv") == "销售 数据 (2024).csv"
    assert safe_name("../../etc/passwd") == "_.._etc_passwd"


async def test_a_damaged_pdf_is_refused_before_a_team_works_on_it(tmp_path: Path) -> None:
    broken = tmp_path / "report.pdf"
    broken.write_bytes(b"%PDF-1.7\n" + b"nothing of a document " * 40)
    with pytest.raises(AttachmentRejected, match=r"report\.pdf cannot be read"):
        await Uploads(LocalObjects(tmp_path / "objects")).take("local", [broken])
