"""The main job through the real command line, on real files, its facts checked against another reading of them."""

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from tests.chaos.house import House

QUERY = (
    "Report on these time-zone tables: how many zones and countries are there, which countries have the most zones, "
    "and how do the three files relate?"
)


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model."""
    return House(tmp_path / "home", sandbox_cache, "", {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""})


def _rows(name: str) -> list[list[str]]:
    text = (files("tzdata") / "zoneinfo" / name).read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.requirement("A1")
def test_the_sample_job_reports_true_facts_with_sources_tokens_and_cost(house: House) -> None:
    """At least three agents compute through the sandbox; counts and the top countries are those of the files."""
    names = ("zone.tab", "zone1970.tab", "iso3166.tab")
    tables = [str(files("tzdata") / "zoneinfo" / name) for name in names]
    attached = [part for table in tables for part in ("--attach", table)]
    run = house.run("run", QUERY, *attached, "--json")
    assert run.code == 0, run.err
    record = run.record
    text = str(record["text"])
    zones, shared, countries = (_rows(name) for name in names)
    for count in (len(zones), len(shared), len(countries)):
        assert re.search(rf"\b{count}\b", text), count
    tops = Counter(row[0] for row in zones).most_common(3)
    for code, count in tops:
        assert re.search(rf"\b{code}\b[^.\n]{{0,40}}\b{count}\b", text), (code, count)
    named = {row[0]: row[1] for row in countries}
    assert any(named[code] in text for code, _ in tops)
    assert {source["name"] for source in record["sources"]} == set(names)  # type: ignore[attr-defined]
    events = house.events(str(record["task"]))
    ran = {payload["agent"] for _, kind, payload in events if kind == "tool.completed" and payload["tool"] == "python"}
    assert len(ran) >= 3
    bill = record["bill"]
    assert isinstance(bill, dict)
    assert bill["tokens"] > 0
    assert (bill["cost_usd"], record["estimated"], record["offline"]) == ("0", True, True)
    shown = house.run("tasks", "show", str(record["task"]))
    for word in (str(record["task"]), "tokens", "cost $0.00", "sources: ", *names):
        assert word in shown.out


def test_a_table_and_a_text_of_the_users_in_chinese(house: House, tmp_path: Path) -> None:
    """Any CSV and text: the answer is in the query's language and its numbers are the file's."""
    table, note = tmp_path / "销售.csv", tmp_path / "说明.txt"
    table.write_text("门店,金额\n东店,10\n西店,35\n东店,20\n", "utf-8")
    note.write_text("东店五月关门。西店生意很好。\n", "utf-8")
    run = house.run("run", "哪个门店的金额合计最大？并总结说明。", "-a", str(table), "-a", str(note), "--json")
    assert run.code == 0, run.err
    text = str(run.record["text"])
    assert "西店" in text
    assert "35" in text
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 20


def test_progress_goes_to_stderr_and_the_answer_to_stdout(house: House) -> None:
    """Without a terminal each event is a line; --quiet is silent; the offline model is named once."""
    loud = house.run("run", "What is 17% of 2340?")
    assert loud.code == 0
    assert "397.8" in loud.out
    assert "completed" in loud.err
    assert loud.err.count("built-in offline model") == 1
    assert "OPENAI_API_KEY" in loud.err
    quiet = house.run("run", "What is 17% of 2340?", "--quiet")
    assert quiet.err == ""


def test_tasks_are_listed_shown_and_their_events_printed(house: House) -> None:
    """Newest first; JSON for programs; every event in order, without a gap."""
    first = str(house.run("run", "What is 2 + 2?", "--json").record["task"])
    second = str(house.run("run", "What is 3 + 3?", "--json").record["task"])
    listed = json.loads(house.run("tasks", "list", "--json").out)
    assert [task["task"] for task in listed] == [second, first]
    assert [task["task"] for task in json.loads(house.run("tasks", "list", "--json", "--before", second).out)] == [
        first
    ]
    lines = [json.loads(line) for line in house.run("tasks", "events", first, "--json").out.splitlines()]
    assert [line["header"]["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["header"]["kind"] == "task.submitted"
    assert lines[-1]["header"]["kind"] == "task.completed" or "task.completed" in {
        line["header"]["kind"] for line in lines
    }
    only = house.run("tasks", "events", first, "--kind", "task.planned").out.splitlines()
    assert len(only) == 1
    text = house.run("tasks", "list").out
    assert first in text
    assert "What is 2 + 2?" in text
    none = house.run("tasks", "list", "--status", "quarantined")
    assert none.out == ""
    assert "there is no such task" in none.err


def test_a_query_comes_from_standard_input_and_limits_are_obeyed(house: House) -> None:
    """Tier and agents are the task's own; the plan's events show it."""
    run = house.run("run", "What is 2 + 2?", "--tier", "large", "--max-agents", "1", "--json")
    assert run.record["models"] == ["offline/offline-large"]


def test_the_doctor_says_what_is_there_and_what_is_missing(house: House) -> None:
    """Exit 0 on a sound installation; vendors that are not configured name their variables."""
    run = house.run("doctor", "--json")
    assert run.code == 0, run.out
    found = {finding["name"]: finding for finding in json.loads(run.out)}
    assert found["sandbox"]["state"] == "ok"
    assert found["model vendor offline"]["state"] == "ok"
    assert "OPENAI_API_KEY" in found["model vendor openai"]["fix"]
    house.home.mkdir(parents=True, exist_ok=True)
    (house.home / "multiagent.db").write_bytes(b"damaged" * 1000)
    broken = house.run("doctor")
    assert broken.code == 1
    assert "STORAGE_CORRUPT" in broken.out


def test_a_program_runs_in_the_sandbox_from_the_terminal(house: House, tmp_path: Path) -> None:
    """Output, value, a granted folder, an exception, a limit: each with its exit code."""
    program = tmp_path / "p.py"
    program.write_text("print('hi')\n6 * 7\n", "utf-8")
    run = house.run("sandbox", "run", str(program))
    assert (run.code, run.out) == (0, "hi\n42\n")
    (tmp_path / "data.txt").write_text("seen", "utf-8")
    program.write_text(f"print(open({str(tmp_path / 'data.txt')!r}).read())", "utf-8")
    assert house.run("sandbox", "run", str(program)).code == 3
    assert house.run("sandbox", "run", str(program), "--grant", str(tmp_path)).out.startswith("seen")
    program.write_text("while True: pass", "utf-8")
    stopped = house.run("sandbox", "run", str(program), "--timeout", "1")
    assert stopped.code == 8
    assert "SANDBOX_TIMEOUT" in stopped.err
