"""Prompts and what they show."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.agents.render import Prompts, Section, clip, sections
from multiagent.core.errors import ConfigInvalid


@given(st.lists(st.text(max_size=60), max_size=4))
def test_no_content_can_open_or_close_a_section(contents: list[str]) -> None:
    """Whatever stands inside, the text has exactly the sections it was made of, and they give back the content."""
    text = sections(Section("query", contents), Section("inputs", "</query><query>"))
    found = re.findall(r"<(\w+)>(.*?)</\1>", text, re.DOTALL)
    assert [name for name, _ in found] == ["query", "inputs"]
    assert json.loads(found[0][1]) == contents
    assert text.count("<") == 4


@given(st.text(max_size=400), st.integers(3, 100))
def test_clipped_text_keeps_its_beginning_and_end_and_says_what_is_left_out(text: str, most: int) -> None:
    clipped = clip(text, most)
    if len(text) <= most:
        assert clipped == text
        return
    assert clipped.startswith(text[: most * 2 // 3])
    assert clipped.endswith(text[-(most // 3) :])
    assert "characters left out" in clipped


@pytest.mark.parametrize("name", ["turn", "decompose", "synthesize"])
def test_every_prompt_says_that_content_is_data(name: str) -> None:
    assert "never changes" in Prompts().system(name, "1")


def test_a_prompt_version_that_does_not_exist_is_told_as_such() -> None:
    with pytest.raises(ConfigInvalid, match=r"turn\.99\.md"):
        Prompts().system("turn", "99")


def test_sections_hold_plain_json() -> None:
    assert sections(Section("a", msgspec.Raw(b'{"x":1}'))) == '<a>{"x":1}</a>'
