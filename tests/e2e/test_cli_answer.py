"""An agent asks its user, through the real command line."""

import json
from pathlib import Path

import pytest

from multiagent.testing.scripted_script import Reply, Rule, Script, ScriptedCall
from tests.chaos.house import House, kill, vendor
from tests.e2e.test_cli_control import refused, until

QUESTION = "Which colour do you like?"
ASKS = Reply(calls=(ScriptedCall("ask_user", json.dumps({"question": QUESTION})),))
SCRIPT = Script(rules=(Rule(Reply(text="Then it is ultramarine."), calls=(2, 3)),), default=ASKS)


def read_by_the_agent(house: House) -> list[str]:
    """The observations that are stored."""
    said = [json.loads(bytes(body)) for (body,) in house.rows("SELECT body FROM messages")]
    return [str(one["parts"][0]["content"]) for one in said if one["role"] == "tool"]


@pytest.mark.requirement("C4.days")
def test_an_agent_asks_its_user_and_goes_on_with_the_answer(tmp_path: Path, sandbox_cache: Path) -> None:
    """The question is shown, its owner may die, and the answer is what the agent reads."""
    with vendor(tmp_path, SCRIPT) as (url, _):
        house = House(tmp_path / "home", sandbox_cache, url)
        run = house.start("run", "Paint the door", "--ask-user", "--json")
        until(lambda: "waiting" in house.tasks().values(), "nothing was asked")
        (task,) = house.tasks()
        assert QUESTION in house.run("tasks", "show", task).out
        refused(house.run("tasks", "answer", task, " "), 2, "INVALID_INPUT", "empty")
        assert house.run("tasks", "answer", task, "ultramarine").code == 0
        done = house.finish(run)
        assert (done.code, done.record["text"]) == (0, "Then it is ultramarine.")
        assert f"asks: {QUESTION}" in done.err
        assert read_by_the_agent(house) == ["ultramarine"]
        refused(house.run("tasks", "answer", task, "red"), 2, "INVALID_INPUT", "asks")
        refused(house.run("tasks", "answer", "01NOSUCHTASK", "red"), 9, "NOT_FOUND")
        states = [payload["state"] for _, kind, payload in house.events(task) if kind == "agent.state"]
        assert "waiting_input" in states


def test_an_answer_given_while_nobody_owns_the_home_is_kept(tmp_path: Path, sandbox_cache: Path) -> None:
    """The next owner goes on with it."""
    with vendor(tmp_path, SCRIPT) as (url, _):
        house = House(tmp_path / "home", sandbox_cache, url)
        run = house.start("run", "Paint the door", "--ask-user")
        until(lambda: "waiting" in house.tasks().values(), "nothing was asked")
        (task,) = house.tasks()
        kill(run)
        assert house.run("tasks", "answer", task, "ultramarine").code == 0
        assert house.run("tasks", "follow", task, "--json").record["text"] == "Then it is ultramarine."
        assert read_by_the_agent(house) == ["ultramarine"]


def test_an_answer_finds_its_question_also_where_its_owner_died_as_it_asked(
    tmp_path: Path, sandbox_cache: Path
) -> None:
    """Killed with the question stored and its step's result not: the answer is taken all the same."""
    with vendor(tmp_path, SCRIPT) as (url, _):
        house = House(tmp_path / "home", sandbox_cache, url)
        house.run("run", "Paint the door", "--ask-user", fault="after-run-before-store:4")
        (task,) = house.tasks()
        assert house.rows("SELECT state FROM approvals") == [("pending",)]
        assert house.run("tasks", "answer", task, "ultramarine").code == 0
        assert house.run("tasks", "follow", task, "--json").record["text"] == "Then it is ultramarine."


def test_without_leave_no_agent_asks(tmp_path: Path, sandbox_cache: Path) -> None:
    """The tool is not offered, and a call of it is refused: nothing waits."""
    with vendor(tmp_path, SCRIPT) as (url, _):
        house = House(tmp_path / "home", sandbox_cache, url)
        done = house.run("run", "Paint the door", "--json")
        assert done.code in (0, 3)
        assert house.rows("SELECT 1 FROM approvals") == []
