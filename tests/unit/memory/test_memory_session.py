"""What a session remembers, and what of it a new task is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.task import Attachment
from multiagent.llm.gate_estimate import estimate_text
from multiagent.memory.compaction import Shown, compact
from multiagent.memory.recall import kinship, numbered
from multiagent.memory.session import (
    ANSWER_CHARS,
    KEPT_MOST,
    OLD_CHARS,
    Memory,
    Turn,
    clipped,
    gist,
    read,
    shortened,
    turn_of,
    written,
)

TEXT = st.text(max_size=400)
TURNS = st.lists(
    st.builds(Turn, task=st.text(min_size=1, max_size=8), query=TEXT, answer=TEXT, open=st.tuples(TEXT)),
    max_size=30,
    unique_by=lambda turn: turn.task,
)


def tokens(shown: Shown) -> int:
    return estimate_text(msgspec.json.encode(shown).decode())


@given(TURNS, TEXT, st.integers(60, 2_000))
def test_what_is_told_stays_under_its_limit(turns: list[Turn], query: str, most: int) -> None:
    """For any session and limit; the turns told are some of the session's, in order, and the rest are counted."""
    shown = compact("s", Memory(tuple(turns)), query, most, estimate_text)
    assert tokens(shown) <= most
    numbers = [turn.n for turn in shown.turns]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + shown.left_out == len(turns)
    for turn in shown.turns:
        assert len(turn.answer) <= ANSWER_CHARS


@pytest.mark.requirement("C7")
def test_forty_tasks_fit_and_the_first_is_told_when_it_is_asked_about() -> None:
    """By its number or by its words, the first task's facts are there, whole."""
    first = Turn("t1", "Which store sold most?", "The west store sold most: **3,517 EUR** of 9,240 EUR.\n- rows: 412")
    others = [
        Turn(f"t{n}", f"What is {n} times 17, and why does it matter?", f"It is **{n * 17}**. " + "More words. " * 60)
        for n in range(2, 41)
    ]
    memory = Memory((first, *others))
    for query in ("What was the answer to my first question?", "How much did the west store sell?", "task 1 again"):
        shown = compact("s", memory, query, 2_000, estimate_text)
        assert tokens(shown) <= 2_000
        assert len(shown.turns) == 40
        assert "3,517 EUR" in shown.turns[0].answer
        assert "412" in shown.turns[0].answer


def test_open_questions_and_file_names_are_told_the_newest_first() -> None:
    file = Attachment("sales.csv", "text/csv", 5, "hash-1")
    newer = Attachment("sales.csv", "text/csv", 6, "hash-2")
    memory = Memory((
        Turn("t1", "q", "a", ("What of 2023?",), (file,)), Turn("t2", "q", "a", ("Which currency?",), (newer,)),
    ))  # fmt: skip
    shown = compact("s", memory, "next", 400, estimate_text)
    assert (shown.open, shown.files) == (("What of 2023?", "Which currency?"), ("sales.csv",))
    assert memory.files["sales.csv"] == newer
    assert compact("s", memory, "next", 30, estimate_text).open in ((), ("Which currency?",))


@given(TURNS)
def test_memory_is_read_as_it_was_written(turns: list[Turn]) -> None:
    memory = Memory(tuple(sorted(turns, key=lambda turn: turn.task)))
    assert read(written(memory)) == memory


@given(st.text(max_size=600), st.integers(1, 200))
def test_a_gist_is_short_and_made_of_the_texts_own_lines(text: str, most: int) -> None:
    found = gist(text, most)
    assert len(found) <= most
    assert len(clipped(text, most)) <= most


def test_a_gist_keeps_lines_with_facts_first() -> None:
    text = "Some introduction without anything.\n" * 9 + "- **west**: 35\nThe end of it all.\n"
    assert "**west**: 35" in gist(text, 60)


def test_a_turn_keeps_what_is_missing_or_was_asked_back_as_open() -> None:
    turn = turn_of("t1", "the  query", "Done: 5.\n- Which year do you mean?", ("the chart: no tool",), ())
    assert (turn.query, turn.open) == ("the query", ("the chart: no tool", "Which year do you mean?"))
    assert turn_of("t2", "unanswered", "", (), ()).open == ("unanswered",)


def test_a_long_memory_is_bounded() -> None:
    turns = tuple(Turn(f"t{n:05}", "q", "5 " * 400) for n in range(KEPT_MOST + 50))
    less = shortened(Memory(turns))
    assert len(less.turns) == KEPT_MOST
    assert len(less.turns[0].answer) <= OLD_CHARS
    assert less.turns[-1] == turns[-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("What was my first question?", {1}),
        ("repeat task 12", {12}),
        ("第3个问题的答案", {3}),
        ("第一个问题?", {1}),
        ("2 + 2", set()),
    ],
)
def test_turns_are_named_by_number(query: str, found: set[int]) -> None:
    assert numbered(query) == found


def test_kinship_is_the_share_of_words() -> None:
    assert kinship("west stores", "The WEST store sold most") == 1.0
    assert kinship("西店金额", "西店的金额是35") > 0.5
    assert kinship("", "anything") == kinship("what is the", "anything") == 0.0
