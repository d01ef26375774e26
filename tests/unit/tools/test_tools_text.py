"""Sentences, terms, summaries, counts and outlines, English and Chinese."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.tools.builtin.kinds import delimiter, kind_of
from multiagent.tools.builtin.text_measures import counts, structure, summary
from multiagent.tools.builtin.words import keywords, sentences, terms

ENGLISH = (
    "The harbour of Larsen exports grain. Grain exports of the harbour rose by 12 percent in 2023. "
    "The weather was mild. Dr. Berg, who runs the harbour, expects grain exports to rise again."
)
CHINESE = "港口主要出口粮食。粮食出口增长了百分之十二！天气很好。港口负责人预计粮食出口还会增长吗？"


def test_sentences_end_at_marks_and_line_ends_but_not_at_abbreviations_and_decimals() -> None:
    assert sentences("Dr. Smith paid 3.5 million. He left! 你好。真的吗？“是的。”他说。\nThe end") == [
        "Dr. Smith paid 3.5 million.",
        "He left!",
        "你好。",
        "真的吗？",
        "“是的。”",
        "他说。",
        "The end",
    ]


@given(st.text(max_size=300))
def test_no_character_of_a_text_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.requirement("S.tools.text")
def test_the_most_telling_sentences_are_taken_word_for_word_and_in_order() -> None:
    for text, dull in ((ENGLISH, "The weather was mild."), (CHINESE, "天气很好。")):
        found = summary(text, 2)
        assert len(found) == 2
        assert dull not in found
        assert all(sentence in text for sentence in found)
        assert text.index(found[0]) < text.index(found[1])


def test_a_summary_follows_what_is_asked() -> None:
    assert summary(ENGLISH, 1, "How was the weather?") == ["The weather was mild."]
    assert summary(CHINESE, 1, "天气") == ["天气很好。"]


@given(st.text(max_size=400), st.integers(1, 5))
def test_a_summary_invents_nothing(text: str, most: int) -> None:
    found = summary(text, most)
    assert len(found) <= most
    flat = "".join(text.split())
    assert all("".join(sentence.split())[:20] in flat for sentence in found)


def test_keywords_are_frequent_terms_without_function_words() -> None:
    assert [term for term, _ in keywords(ENGLISH, 3)] == ["exports", "grain", "harbour"]
    assert {term for term, _ in keywords(CHINESE, 3)} == {"粮食出口", "港口", "增长"}
    assert terms("the of and 的 了") == {}


def test_counts_are_true() -> None:
    found = counts("Two words.\n\n两个句子。好！")
    assert (found.english_words, found.chinese_characters, found.sentences) == (2, 5, 3)
    assert (found.lines, found.paragraphs, found.characters) == (3, 2, 19)


def test_the_outline_of_markdown_and_of_chinese_and_numbered_headings() -> None:
    text = "# A\n\ntext\n\nB\n---\n\n```\n# no heading\n```\n\n- one\n- two\n\n| a | b |\n\n第一章 总则\n一、目的\n1.2 Scope\n[x](http://y)\n"
    found = structure(text)
    assert [(one.level, one.text) for one in found.headings] == [
        (1, "A"),
        (2, "B"),
        (1, "第一章 总则"),
        (2, "一、目的"),
        (2, "1.2 Scope"),
    ]
    assert (found.list_items, found.table_rows, found.code_blocks, found.links) == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "media_type", "head", "kind"),
    [
        ("a.csv", "text/csv", "anything", "table"),
        ("zone.tab", "text/plain", "# tz\nAD\t+4230\tEurope\nAE\t+2518\tAsia\n", "table"),
        ("data.txt", "text/plain", "a;b\n1;2\n3;4\n5;6\n", "table"),
        ("data", "text/plain", '{"a": 1}', "json"),
        ("a.json", "application/json", "[1", "json"),
        ("note.txt", "text/plain", "Dear all, thanks.\nIt works, mostly.\nBest, Ada\n", "text"),
        ("a.md", "text/markdown", "a|b\nc|d\ne|f\n", "text"),
        ("empty.txt", "text/plain", "", "text"),
    ],
)
def test_kinds(name: str, media_type: str, head: str, kind: str) -> None:
    assert kind_of(name, media_type, head) == kind


def test_comments_do_not_hide_a_delimiter() -> None:
    assert delimiter("# a, b, c\n# d\nx\ty\n1\t2\n3\t4\n") == "\t"
