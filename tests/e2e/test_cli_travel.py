"""Time travel through the real command line: replay, the state at a cut, stepping on a real terminal."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.house import House
from tests.e2e.test_cli_control import until

GUARD_S = 60


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, sandbox_cache: Path) -> House:
    """A house in which one task has run on the offline model."""
    house = House(tmp_path_factory.mktemp("travel") / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    assert house.run("run", "What is 17% of 2340?", "-q").code == 0
    return house


def the_task(house: House) -> str:
    """Its id."""
    return next(iter(house.tasks()))


def test_a_finished_task_replays_identically(house: House) -> None:
    task = the_task(house)
    plain, told = house.run("replay", task), house.run("replay", task, "--json")
    assert (plain.code, told.code) == (0, 0)
    assert "identical" in plain.out
    assert told.record["identical"] is True
    unknown = house.run("replay", "nobody")
    assert (unknown.code, "NOT_FOUND" in unknown.err) == (9, True)


def test_the_state_at_an_event_and_at_a_step(house: House) -> None:
    """The calculator's check is pending just after the first turn; wrong cuts are refused."""
    task = the_task(house)
    state = house.run("replay", task, "--at", "a/t1/think/1", "--json").record
    assert [one["key"] for one in state["pending"]] == ["a/t1/act/1/0/check"]  # type: ignore[attr-defined]
    agents: Any = state["agents"]
    (agent,) = agents
    assert (agent["state"], agent["doing"], agent["turn"]) == ("acting", "calculator", 1)
    shown = house.run("replay", task, "--at", str(state["event_seq"]))
    assert "acting calculator" in shown.out
    for wrong in ("9999", "nowhere"):
        refused = house.run("replay", task, "--at", wrong)
        assert (refused.code, "INVALID_INPUT" in refused.err) == (2, True)


def test_off_a_terminal_the_whole_walk_is_printed(house: House) -> None:
    """With --json a document a line; with a breakpoint only where it stops."""
    task = the_task(house)
    documents = [json.loads(line) for line in house.run("replay", task, "--step", "--json").out.splitlines()]
    assert [one["n"] for one in documents] == list(range(1, len(documents) + 1))
    turn = next(one for one in documents if one["key"] == "a/t1/think/1")
    assert [message["role"] for message in turn["prompt"]] == ["system", "user"]
    some = house.run("replay", task, "--step", "--break", "tool=calculator")
    assert some.out.count("[calculator]") == 2
    assert "#1 " not in some.out


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, house: House, *arguments: str) -> None:
        self._master, end = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "multiagent.cli.main", *arguments],
            env=house.environment() | {"TERM": "xterm"}, stdin=end, stdout=end, stderr=end, start_new_session=True,
        )  # fmt: skip
        os.close(end)
        self.seen = ""

    def until(self, text: str) -> str:
        """Read until a text is shown after what was read before; return what came."""
        start = len(self.seen)
        while text not in self.seen[start:]:
            assert select.select([self._master], [], [], GUARD_S)[0], self.seen
            self.seen += os.read(self._master, 65536).decode("utf-8", "replace")
        return self.seen[start:]

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, f"{line}\n".encode())

    def end(self) -> int:
        """Wait for its end."""
        code = self._process.wait(GUARD_S)
        os.close(self._master)
        return code


@pytest.mark.requirement("C5.step", "S.reliability.time-travel")
def test_a_run_is_stepped_through_on_a_terminal(house: House) -> None:
    """Forward, back, to a breakpoint, a jump, the state, and out."""
    screen = Screen(house, "replay", the_task(house), "--step", "--break", "tool=calculator")
    assert "at cut 0" in screen.until("[0/")
    screen.type("n")
    assert "analyze" in screen.until("[1/")
    screen.type("c")
    assert "tool.checked" in screen.until("[3/")
    screen.type("b")
    shown = screen.until("[2/")
    assert "prompt (2 messages)" in shown
    assert "calls calculator" in shown
    screen.type("j finish")
    assert "397.8" in screen.until("[6/")
    screen.type("s")
    assert "completed" in screen.until("[6/")
    screen.type("q")
    assert screen.end() == 0


def test_two_runs_are_set_beside_each_other(house: House) -> None:
    """A task is identical with itself; another query parts at once, and its steps and cost are listed."""
    one = the_task(house)
    assert house.run("diff", one, one, "--json").record["identical"] is True
    other = house.run("run", "What is 17% of 9000?", "-q", "--json").record["task"]
    told = house.run("diff", one, str(other))
    assert told.code == 0
    for part in (one, str(other), "they part at outcome", "1530", "397.8"):
        assert part in told.out
    assert house.run("diff", one, "nobody").code == 9


def test_events_are_filtered_and_followed(house: House) -> None:
    """A follower of a task that has ended prints it and leaves; filters are those of kind and agent."""
    task = the_task(house)
    every = house.run("tasks", "events", task, "--follow", "--json")
    assert every.code == 0
    kinds = [json.loads(line)["header"]["kind"] for line in every.out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("task.submitted", "task.completed")
    some = house.run("tasks", "events", task, "--kind", "tool.*", "--agent", "t1").out.splitlines()
    assert len(some) == 2
    assert house.run("tasks", "events", task, "--agent", "t9").out == ""
    assert house.run("tasks", "events", task, "--kind", "tool").code == 2


@pytest.mark.requirement("S.reliability.time-travel")
def test_a_fork_inherits_its_past_free_and_goes_its_own_way(house: House) -> None:
    """No change: the same answer, the inherited call unpaid. Bad cuts and edits are refused before anything runs."""
    task = the_task(house)
    fork = house.run("fork", task, "--at", "a/t1/act/1/0/run", "--json")
    assert fork.code == 0, fork.err
    new = str(fork.record["task"])
    assert f"task {new} takes the first 4 outcomes of task {task}" in fork.err
    assert "397.8" in str(fork.record["text"])
    whole, rest = house.run("tasks", "show", task, "--json").record, house.run("tasks", "show", new, "--json").record
    assert (whole["bill"]["model_calls"], rest["bill"]["model_calls"]) == (2, 1)  # type: ignore[index]
    told = house.run("diff", task, new)
    assert f"forked from {task}" in told.out
    assert house.run("replay", new).code == 0
    first = json.loads(house.run("replay", new, "--step", "--json").out.splitlines()[1])
    assert (first["key"], first["inherited"]) == ("a/t1/think/1", True)
    for wrong in (
        ("--at", "9999"), ("--at", "nowhere"), (), ("--set", "analyze"), ("--set", "nowhere:/x=1"),
        ("--set", "finish:/x=1", "--at", "analyze"), ("--at", "analyze", "--tier", "huge"),
    ):  # fmt: skip
        refused = house.run("fork", task, *wrong)
        assert (refused.code, "INVALID_INPUT" in refused.err) == (2, True), (wrong, refused.err)
    assert house.run("fork", "nobody", "--at", "1").code == 9


def test_a_fork_edits_what_its_step_answered_and_takes_other_settings(house: House) -> None:
    """An edit that does not fit is refused by the owner; one that fits is taken, and later steps see it."""
    task = the_task(house)
    refused = house.run("fork", task, "--set", "analyze:/mode=nonsense")
    assert (refused.code, "INVALID_INPUT" in refused.err) == (2, True), refused.err
    fork = house.run("fork", task, "--set", 'analyze:/tools=["calculator"]', "--tier", "large", "--json")
    assert fork.code == 0, fork.err
    assert fork.record["models"] == ["offline/offline-large"]
    steps = [
        json.loads(line) for line in house.run("replay", str(fork.record["task"]), "--step", "--json").out.splitlines()
    ]
    turn = next(one for one in steps if one["key"] == "a/t1/think/1")
    assert turn["input"]["seat"]["tools"] == ["calculator"]


def test_only_a_quarantined_task_is_let_go_on(house: House) -> None:
    refused = house.run("tasks", "unquarantine", the_task(house))
    assert (refused.code, "not quarantined" in refused.err) == (2, True)
    assert house.run("tasks", "unquarantine", "nobody").code == 9


def test_what_a_step_answered_is_edited_as_people_see_it(house: House) -> None:
    """An observation's content, a call's arguments, an answer's text; what follows is done with them, replayable."""
    task = the_task(house)
    for edit, found in (
        ('a/t1/act/1/0/run:/content="52"', "52"),
        ("a/t1/think/1:/calls/0/arguments/expression=3*4", "12"),
        ("a/t1/think/2:/text=in other words", "in other words"),
    ):
        fork = house.run("fork", task, "--set", edit, "--json")
        assert fork.code == 0, fork.err
        assert found in str(fork.record["text"])
        assert house.run("replay", str(fork.record["task"])).code == 0
    number = house.run("fork", task, "--set", "a/t1/act/1/0/run:/content=52")
    assert (number.code, "Expected `str`" in number.err) == (2, True)
    assert "397.8" in house.run("tasks", "show", task).out


def test_histories_are_exported_and_checked(house: House, tmp_path: Path) -> None:
    """With or without what was said; a tampered copy drifts with its step; what is no history is refused."""
    task = the_task(house)
    whole, bare = tmp_path / "whole.json", tmp_path / "bare.json"
    assert house.run("history", "export", task, str(whole)).code == 0
    assert house.run("history", "export", task, str(bare), "--no-messages").code == 0
    assert whole.stat().st_size > bare.stat().st_size
    good = house.run("history", "check", str(whole), str(bare), "--json")
    assert (good.code, [one["identical"] for one in json.loads(good.out)]) == (0, [True, True])
    document = json.loads(whole.read_text("utf-8"))
    document["journal"][2]["digest"] = "0" * 16
    tampered = tmp_path / "tampered.json"
    tampered.write_text(json.dumps(document), "utf-8")
    drift = house.run("history", "check", str(whole), str(tampered), "--json")
    verdict = json.loads(drift.out)[1]
    assert (drift.code, verdict["n"], verdict["recorded"]) == (11, 3, "0" * 16)
    (tmp_path / "odd.json").write_text("{}", "utf-8")
    for wrong in ("odd.json", "nowhere.json"):
        refused = house.run("history", "check", str(tmp_path / wrong))
        assert (refused.code, "INVALID_INPUT" in refused.err) == (2, True)
    assert house.run("history", "export", "nobody", str(whole)).code == 9
    assert house.run("history", "export", task, str(tmp_path / "no" / "folder.json")).code == 7


def test_what_happens_is_followed_and_forks_are_made_by_the_owner_of_the_home(house: House) -> None:
    """While one terminal's task is under way, another follows its events to their end, a third forks an older task."""
    old = the_task(house)
    slow = House(house.home, house.cache, "", house.extra | {"MULTIAGENT_OFFLINE__LATENCY_S": "3"})
    running = slow.start("run", "What is 2 + 2?", "--json")
    until(house.in_flight, "no step began")
    task = next(one for one, status in house.tasks().items() if status == "running")
    follower = house.start("tasks", "events", task, "--follow", "--kind", "task.*", "--json")
    fork = house.run("fork", old, "--set", 'a/t1/act/1/0/run:/content="53"', "--json")
    assert (fork.code, "53" in str(fork.record["text"])) == (0, True), fork.err
    followed = house.finish(follower)
    kinds = [json.loads(line)["header"]["kind"] for line in followed.out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("task.submitted", "task.completed")
    assert house.finish(running).code == 0


def test_a_workflow_is_asked_and_signalled_from_any_terminal(house: House) -> None:
    """What it published last is JSON by name; a finished task takes no signal, and no signal forges an approval."""
    task = str(house.run("run", "What is 2 + 2?", "--json").record["task"])
    every = json.loads(house.run("tasks", "query", task).out)
    assert {"plan", "budget", "agent/t1"} <= set(every)
    assert json.loads(house.run("tasks", "query", task, "agent/t1").out)["agent/t1"]["phase"] == "completed"
    unknown = house.run("tasks", "query", task, "weather")
    assert (unknown.code, "agent/t1" in unknown.err) == (2, True)
    assert house.run("tasks", "signal", task, "weather", "1").code == 2
    assert house.run("tasks", "signal", task, "approval/x", "1").code == 2
