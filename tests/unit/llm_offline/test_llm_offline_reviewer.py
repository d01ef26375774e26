"""The offline model's critic and judge: claims are held against what was computed again."""

import pytest

from multiagent.llm.offline.reviewer import rule

FOUND = """\
**a.csv** (8 rows)
- 3 groups of `region`, by rows: largest is **north** with 4, then south 2; smallest is west with 2.
- Total of `sales` by `region`: largest is **north** with 601.25, then west 113; smallest is south with 75.
- Trend: `sales` rises over `day` (increasing), slope 45.2024 a day.
- No outliers in `cost`."""


def ruled(answer: str, found: str = FOUND) -> bool:
    return rule(answer, found, chinese=False, checked=True).accept


@pytest.mark.parametrize(
    "answer",
    [
        FOUND,
        "- Total of `sales` by `region`: largest is **north** with 601.25.",
        "- Total of `sales` by `region`: largest is **north** with 601.3.",
        "- Total of `sales` by `region`: largest is **north** with 601.\nThat is all there is to say.",
        "The slope of `sales` is 45.2.",
    ],
)
def test_what_holds_is_accepted_also_in_part_and_rounded(answer: str) -> None:
    assert ruled(answer)


@pytest.mark.parametrize(
    "answer",
    [
        FOUND.replace("601.25", "601.52"),
        FOUND.replace("**north** with 601", "**west** with 601"),
        FOUND.replace("rises", "falls"),
        FOUND.replace("(8 rows)", "(9 rows)"),
        FOUND.replace("with 601.25, then west 113", "with 113, then west 601.25"),
        "Everything is fine.",
    ],
)
def test_what_does_not_hold_is_rejected(answer: str) -> None:
    assert not ruled(answer)


def test_a_rejection_says_what_should_stand_there() -> None:
    ruling = rule(FOUND.replace("75", "57"), FOUND, chinese=False, checked=True)
    assert "smallest is south with 75" in ruling.corrections[0]


def test_a_sum_must_be_in_the_answer_however_it_is_worded() -> None:
    found = "6 * 7 = **42**"
    assert ruled("It is 42.", found)
    assert not ruled("It is 43.", found)
    assert not ruled("I multiplied 6 and 7.", found)


def test_where_nothing_was_computed_nothing_is_rejected() -> None:
    assert rule("The sky is blue.", "Not answered.", chinese=False, checked=False).accept
    assert "重新计算" in rule("天是蓝的", "未能回答", chinese=True, checked=False).reasons[0]
