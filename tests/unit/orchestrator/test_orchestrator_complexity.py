"""The complexity score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.task import Attachment
from multiagent.orchestrator.complexity import analyze, mode

SIMPLE = ["What is the weather today?", "Simple calculation: 2 + 2", "今天天气怎么样？", "计算 2 + 2", "Hello"]
HARD = [
    "Analyze sales data, compare regions, find outliers and the trend, then write a report with recommendations.",
    "分析销售数据，比较各地区，找出异常值和趋势，然后写一份带建议的报告。",
    "1) Research the market. 2) Compare three competitors. 3) Design a strategy. Explain why.",
]


@pytest.mark.parametrize("query", SIMPLE)
def test_a_single_short_question_is_simple(query: str) -> None:
    assert mode(analyze(query).score, 0.3, 0.7) == "simple"


@pytest.mark.parametrize("query", HARD)
def test_several_kinds_of_work_that_build_on_each_other_are_complex(query: str) -> None:
    found = analyze(query)
    assert mode(found.score, 0.3, 0.7) == "complex"
    assert len(found.reasons) > 2


def test_the_weather_scores_about_a_fifth() -> None:
    assert analyze("What is the weather today?").score == pytest.approx(0.2, abs=0.05)


def test_files_make_a_query_more_complex() -> None:
    files = [Attachment(f"{one}.csv", "text/csv", 1000, "0") for one in range(3)]
    scores = [analyze("Which region sold most?", files[:count]).score for count in range(4)]
    assert scores == sorted(set(scores))
    assert mode(scores[3], 0.3, 0.7) == "standard"


@given(st.text(max_size=300), st.integers(0, 60))
@pytest.mark.requirement("S.llm.complexity")
def test_every_query_has_a_score_between_0_and_1_with_a_reason(query: str, files: int) -> None:
    found = analyze(query, [Attachment("a", "text/plain", 10**8, "0")] * files)
    assert 0 <= found.score <= 1
    assert found.reasons
    assert found == analyze(query, [Attachment("a", "text/plain", 10**8, "0")] * files)


@pytest.mark.parametrize(
    ("score", "chosen"), [(0.29, "simple"), (0.3, "standard"), (0.69, "standard"), (0.7, "complex")]
)
@pytest.mark.requirement("S.orchestrator.modes")
def test_the_thresholds_belong_to_the_higher_mode(score: float, chosen: str) -> None:
    assert mode(score, 0.3, 0.7) == chosen
