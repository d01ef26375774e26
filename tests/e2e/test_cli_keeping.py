"""Sessions and retention through the real command line."""

import gzip
import json
from pathlib import Path

import pytest

from tests.chaos.house import House
from tests.e2e.test_cli_control import begun


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    return house


def test_a_session_is_carried_on_listed_shown_and_forgotten(house: House) -> None:
    assert house.run("run", "What is 17 * 3?", "--session", "s1", "-q").code == 0
    again = house.run("run", "What was the answer to my first question?", "--session", "s1", "-q")
    assert "51" in again.out
    assert [row["id"] for row in json.loads(house.run("sessions", "list", "--json").out)] == ["s1"]
    shown = house.run("sessions", "show", "s1")
    for part in ("2 tasks remembered", "1. What is 17 * 3?", "**51**"):
        assert part in shown.out
    assert house.run("sessions", "forget", "s1").code == 0
    assert "0 tasks remembered" in house.run("sessions", "show", "s1").out
    after = house.run("run", "What was the answer to my first question?", "--session", "s1", "-q")
    assert "**51**" not in after.out
    for command in (("show", "s9"), ("forget", "s9")):
        assert house.run("sessions", *command).code == 9
    odd = house.run("run", "q", "--session", "a/b", "-q")
    assert (odd.code, "no session's name" in odd.err) == (2, True)


def test_finished_tasks_are_pruned_and_archived_and_their_bills_stay(house: House, tmp_path: Path) -> None:
    """A dry run changes nothing; the archive holds the history; a pruned task is told as such."""
    assert house.run("run", "What is 17 * 3?", "-q").code == 0
    (task,) = house.tasks()
    tokens = house.run("tasks", "show", task, "--json").record["bill"]["tokens"]  # type: ignore[index]
    dry = house.run("tasks", "prune", "--keep-bytes", "0", "--dry-run", "--json").record
    assert [one["task"] for one in dry["tasks"]] == [task]  # type: ignore[attr-defined]
    assert house.run("replay", task).code == 0
    file = tmp_path / "old.jsonl.gz"
    done = house.run("tasks", "prune", "--older-than", "0m", "--archive", str(file))
    assert (done.code, task in done.out) == (0, True), done.err
    (document,) = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert document["task"]["id"] == task
    assert len(document["journal"]) > 5
    assert any("51" in json.dumps(chain) for chain in document["chains"].values())
    shown = house.run("tasks", "show", task, "--json").record
    assert (shown["status"], shown["bill"]["tokens"]) == ("completed", tokens)  # type: ignore[index]
    replayed = house.run("replay", task)
    assert (replayed.code, "was pruned" in replayed.err) == (9, True)
    assert house.run("fork", task, "--at", "analyze").code == 9
    assert house.run("tasks", "events", task).out.count("\n") > 10
    assert house.run("tasks", "prune", "--older-than", "0m", "--json").record["tasks"] == []
    assert house.run("tasks", "prune").code == 2


def test_the_owner_prunes_and_leaves_what_runs(house: House) -> None:
    """From another terminal, while a task is under way: that one is not touched, and goes on to its answer."""
    assert house.run("run", "What is 17 * 3?", "-q").code == 0
    (old,) = house.tasks()
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "4"
    running = house.start("run", "What is 2 + 2?", "--json")
    begun(house)
    done = house.run("tasks", "prune", "--keep-bytes", "0", "--archive", "objects", "--json")
    assert [one["task"] for one in done.record["tasks"]] == [old]  # type: ignore[attr-defined]
    assert house.run("replay", old).code == 9
    finished = house.finish(running)
    assert (finished.code, "4" in str(finished.record["text"])) == (0, True), finished.err
    assert house.run("replay", str(finished.record["task"])).code == 0


def test_a_sessions_budget_holds_over_its_tasks(house: House) -> None:
    """Tasks of a session share its tokens: once they are used up the next one is refused, another session's is not."""
    house.extra["MULTIAGENT_BUDGET__SESSION_TOKENS"] = "12000"
    codes = [house.run("run", f"What is {n} * 17?", "--session", "s1", "-q").code for n in range(2, 8)]
    assert codes[0] == 0
    assert codes[-1] == 4
    shown = house.run("sessions", "show", "s1", "--json").record
    assert shown["limit_tokens"] == 12000
    assert 0 < shown["session"]["tokens_used"] <= 12000  # type: ignore[index]
    assert house.run("run", "What is 2 * 17?", "--session", "s2", "-q").code == 0
