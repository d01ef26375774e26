"""The built-in model answers about earlier tasks of a session from what the session remembers."""

import pytest

from multiagent.llm.offline.session import Session, Turn, recall

SESSION = Session(
    (
        Turn(1, "Which store has the largest total amount?", "largest is **west** with 35"),
        Turn(2, "What is 17 * 3?", "17 * 3 = **51**"),
        Turn(3, "哪个门店的金额最大？", "西店最大，共 35"),
        Turn(4, "What failed?", ""),
    )
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("What was the answer to my first question?", 1),
        ("repeat task 2", 2),
        ("What was the last answer?", 3),
        ("Which store had the largest amount?", 1),
        ("How much did the west store have before?", 1),
        ("刚才门店金额最大的是哪个？", 3),
        ("第一个问题的答案是什么", 1),
        ("What was the question 4 about?", None),
        ("Who wrote Faust?", None),
        ("", None),
    ],
)
def test_a_query_is_about_the_turn_it_names_or_shares_its_words_with(query: str, found: int | None) -> None:
    """And about none where it shares too little: nothing is invented."""
    turn = recall(SESSION, query)
    assert (turn.n if turn else None) == found


def test_an_empty_session_remembers_nothing() -> None:
    assert recall(Session(), "What was my first question?") is None
