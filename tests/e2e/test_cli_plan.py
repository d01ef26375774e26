"""Plans through the real command line: one's own is run as written, and any is shown with its estimate first."""

import json
from pathlib import Path

import pytest

from tests.chaos.house import House

TABLE = "city,sales\nLyon,10\nOslo,20\nLyon,30\nPrague,40\n"
PLAN = """\
mode: standard
tasks:
  - id: product
    instruction: What is 6 * 7?
    tools: [calculator]
    tier: large
  - id: sum
    instruction: What is 40 + 4?
    tools: [calculator]
    depends_on: [product]
"""


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    return house


def write(folder: Path, text: str) -> str:
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_plan_of_ones_own_is_run_as_it_is_written(house: House, tmp_path: Path) -> None:
    run = house.run("run", "do the sums", "--plan", write(tmp_path, PLAN), "--json")
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert [one["id"] for one in told["agents"]] == ["product", "sum"]
    assert told["agents"][0]["model"] == "offline-large"
    assert "**42**" in told["agents"][0]["result"]
    assert "**44**" in told["agents"][1]["result"]
    assert told["bill"]["model_calls"] == 5, "two turns an agent and the synthesis; nobody was asked for a plan"


def test_a_plan_that_is_wrong_is_refused_before_anything_is_accepted(house: House, tmp_path: Path) -> None:
    run = house.run("run", "do the sums", "--plan", write(tmp_path, PLAN.replace("large", "huge")))
    assert run.code == 2
    assert "error PLAN_INVALID" in run.err
    assert "line 6, tasks[0].tier: unknown tier 'huge'" in run.err
    assert json.loads(house.run("tasks", "list", "--json").out) == []


def test_a_preview_shows_mode_score_dag_and_estimate_and_runs_no_agent(house: House, tmp_path: Path) -> None:
    table = tmp_path / "sales.csv"
    table.write_text(TABLE)
    query = "Profile the table, then find the largest group and any outliers, and report"
    run = house.run("plan", query, "--attach", str(table), "--json")
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert told["mode"] in ("standard", "complex")
    assert 0.3 <= told["score"] <= 1
    assert told["reasons"]
    assert len(told["plan"]["tasks"]) > 1
    parts = told["estimate"]["parts"]
    assert [one["id"] for one in parts] == [*(one["id"] for one in told["plan"]["tasks"]), "synthesis"]
    assert all(0 < one["tokens"]["low"] <= one["tokens"]["high"] for one in parts)
    assert told["planning"]["model_calls"] == 1
    assert told["planning"]["tool_calls"] == 0
    record = json.loads(house.run("tasks", "show", told["task"], "--json").out)
    assert record["agents"] == []


def test_the_plan_that_a_preview_prints_can_be_run(house: House, tmp_path: Path) -> None:
    told = json.loads(house.run("plan", "What is 12 * 12, and what is 7 + 8?", "--json").out)
    run = house.run("run", "the sums", "--plan", write(tmp_path, json.dumps(told["plan"])), "--json")
    assert run.code == 0, run.err
    used = {one["id"]: one["tokens"] for one in json.loads(run.out)["agents"]}
    for part in told["estimate"]["parts"]:
        if part["id"] in used:
            assert part["tokens"]["low"] <= used[part["id"]] <= part["tokens"]["high"]


def test_a_simple_query_is_previewed_without_asking_a_model(house: House) -> None:
    run = house.run("plan", "What is 2 + 2?")
    assert run.code == 0, run.err
    assert "simple" in run.out
    assert "planning used 0 tokens" in run.out
