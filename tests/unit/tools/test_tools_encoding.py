"""Which characters bytes are taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.tools.builtin.encoding import detect

TEXT = "Größe, naïve café — 中文 😀\nsecond line\n"
CHINESE = "各地区的销售额统计如下：华东地区最高，西南地区最低。\n名称,金额\n甲,1\n"


@pytest.mark.parametrize(
    ("codec", "name"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("utf-32", "UTF-32")],
)
def test_unicode_is_known_for_sure(codec: str, name: str) -> None:
    found = detect(TEXT.encode(codec))
    assert found is not None
    assert (found.name, found.guess) == (name, False)
    assert TEXT.encode(codec).decode(found.codec) == TEXT


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200))
def test_any_text_in_utf_8_is_read_as_utf_8(text: str) -> None:
    found = detect(text.encode())
    assert found is not None
    assert found.codec in {"utf-8", "utf-8-sig"}


@pytest.mark.parametrize("codec", ["gbk", "gb18030"])
def test_chinese_without_a_mark_is_guessed_and_said_to_be_a_guess(codec: str) -> None:
    found = detect(CHINESE.encode(codec))
    assert found is not None
    assert str(found) == "GB18030 (a guess)"
    assert CHINESE.encode(codec).decode(found.codec) == CHINESE


def test_western_letters_without_a_mark_are_not_taken_for_chinese() -> None:
    found = detect("Größe und Maße der Bäume; très déjà vu, señor\n".encode("cp1252"))
    assert found is not None
    assert str(found) == "Windows-1252 (a guess)"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        bytes(range(256)),
        b"PK\x03\x04\x14\0\0\0",
        b"\x7fELF" + b"\x01" * 40,
        b"\xff\xfe\x00",
    ],
)
def test_what_is_not_text_has_no_encoding(data: bytes) -> None:
    assert detect(data) is None


def test_a_character_cut_off_at_the_end_of_the_sample_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = ("中" * 40).encode()[:100]
    monkeypatch.setattr("multiagent.tools.builtin.encoding.SAMPLE", 100)
    found = detect(sample)
    assert found is not None
    assert found.codec == "utf-8"


def test_nothing_is_text() -> None:
    assert detect(b"") is not None
