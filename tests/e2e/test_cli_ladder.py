"""The end of the ladder: where the budget does not last, the answer is partial and says what is missing."""

import json
from pathlib import Path

import pytest

from tests.chaos.house import House

QUERY = "Which region has the largest total of sales, and are there outliers in sales, and what is the trend?"
ROWS = [("north", 10), ("south", 20), ("north", 30), ("west", 41), ("south", 55), ("north", 61), ("west", 500)]


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model, and no cache: an answer that is found again costs nothing."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "MULTIAGENT_CACHE__ENABLED": "false"}
    return house


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "sales.csv"
    rows = [f"{region},{sales},2024-01-{day:02}" for day, (region, sales) in enumerate(ROWS, 1)]
    path.write_text("\n".join(["region,sales,day", *rows, ""]))
    return str(path)


def spent(house: House, table: str, budget: int) -> dict[str, object]:
    run = house.run("run", QUERY, "-a", table, "--json", "--max-agents", "1", "--budget-tokens", str(budget))
    told: dict[str, object] = json.loads(run.out)
    return told


@pytest.mark.requirement("S.reliability.degrade")
def test_a_budget_that_lasts_for_some_agents_gives_a_partial_answer_that_says_what_is_missing(
    house: House, table: str
) -> None:
    """Whatever the budget, nothing is overspent; and between too little and enough there is a partial answer."""
    whole = spent(house, table, 200_000)
    assert (whole["status"], whole["partial"], whole["missing"]) == ("completed", False, [])
    used = whole["bill"]
    assert isinstance(used, dict)
    partial = []
    for share in (40, 65, 80, 90):
        budget = used["tokens"] * share // 100
        told = spent(house, table, budget)
        bill = told["bill"]
        assert isinstance(bill, dict)
        assert bill["tokens"] + bill["lost_tokens"] <= budget
        if told["partial"]:
            partial.append(told)
        elif told["status"] == "completed":
            assert told["missing"] == []
        else:
            error = told["error"]
            assert isinstance(error, dict)
            assert error["code"] == "BUDGET_EXCEEDED"
    assert partial
    for told in partial:
        assert told["text"]
        missing = told["missing"]
        assert isinstance(missing, list)
        assert all("budget" in one or "before it was done" in one for one in missing)
        assert missing


@pytest.mark.requirement("S.reliability.degrade")
def test_no_budget_leaves_less_than_a_smaller_one_did(house: House, table: str) -> None:
    """Agents that run out of money at their work still answer from what they were given at first."""
    texts = {}
    for budget in range(4_000, 20_001, 2_000):
        run = house.run("run", QUERY, "-a", table, "--json", "--budget-tokens", str(budget))
        told = json.loads(run.out)
        texts[budget] = told["text"]
        assert told["bill"]["tokens"] + told["bill"]["lost_tokens"] <= budget
        assert told["status"] == "completed" or told["error"]["code"] == "BUDGET_EXCEEDED"
    assert [budget for budget, text in texts.items() if not text] == []


def test_the_offline_model_reserves_the_prompt_that_it_will_bill(house: House, table: str) -> None:
    """It bills our own estimate, so nothing of a small budget is held back for tokens that cannot come."""
    spent(house, table, 200_000)
    rows = house.rows(
        "SELECT r.need_tokens, u.prompt FROM reservations r JOIN usage u ON u.task = r.task AND u.key = r.key"
    )
    assert len(rows) > 3
    assert {need - prompt for need, prompt in rows} == {4096}
