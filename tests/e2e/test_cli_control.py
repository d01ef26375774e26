"""Control from any terminal, through the real command line: nothing is lost, whoever dies."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.house import House, Run, done_twice, kill


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model, whose calls take long."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "MULTIAGENT_OFFLINE__LATENCY_S": "60"}
    return house


def until(what: Callable[[], object], missing: str) -> None:
    """Wait, in small steps of another process's work, until something holds."""
    for _ in range(600):
        if what():
            return
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.02)"], check=True)
    raise AssertionError(missing)


def begun(house: House) -> str:
    """Wait until a task has begun its model call; return its id."""
    until(lambda: any("think" in one for one in house.in_flight()), "no model call began")
    return next(iter(house.tasks()))


def inbox(house: House) -> list[tuple[str, str]]:
    """What waits in the inbox: kind and task."""
    connection = sqlite3.connect(house.home / "inbox.db")
    try:
        return [(str(kind), str(task)) for kind, task in connection.execute("SELECT kind, task FROM inbox")]
    finally:
        connection.close()


def commands(house: House, kind: str) -> list[tuple[str, str]]:
    """The commands of a kind that the owner has taken: task and error."""
    return [(str(a), str(b)) for a, b in house.rows("SELECT task, error FROM commands WHERE kind = ?", kind)]


def refused(run: Run, code: int, *words: str) -> None:
    """The command ended with this exit code and these words, without a traceback."""
    assert run.code == code, (run.out, run.err)
    assert "Traceback" not in run.err + run.out
    for word in words:
        assert word in run.err, run.err


def test_a_task_is_cancelled_from_another_terminal(house: House) -> None:
    """The running step ends, the task is cancelled with its reason, and nothing is done after."""
    first = house.start("run", "What is 2 + 2?", "--json")
    task = begun(house)
    cancel = house.run("tasks", "cancel", task, "--reason", "enough", "--json")
    assert (cancel.code, json.loads(cancel.out)["delivered"]) == (0, True)
    done = house.finish(first)
    assert (done.code, done.record["status"]) == (3, "cancelled")
    assert "enough" in str(done.record["error"])
    assert inbox(house) == []
    refused(house.run("tasks", "cancel", task), 2, "INVALID_INPUT", "has ended")


def test_a_run_in_an_owned_home_is_handed_over_and_followed(house: House) -> None:
    """The owner does both tasks, each terminal prints its own answer, and who leaves first lets the other's steps end:
    no call is made twice.
    """
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "2"
    first = house.start("run", "What is 2 + 2?", "--json")
    begun(house)
    second = house.run("run", "What is 3 + 3?", "--json")
    assert second.code == 0
    assert "6" in str(second.record["text"])
    assert f"process {first.pid}" in second.err
    assert "4" in str(house.finish(first).record["text"])
    for task in house.tasks():
        begun_steps = [str(payload["step"]) for _, kind, payload in house.events(task) if kind == "step.started"]
        assert sorted(begun_steps) == sorted(set(begun_steps))


def test_a_follower_takes_over_from_a_dead_owner(house: House) -> None:
    """The handed task is finished by the terminal that waits for it, the other one beside it."""
    first = house.start("run", "What is 2 + 2?")
    begun(house)
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    second = house.start("run", "What is 3 + 3?", "--json")
    until(lambda: len(house.tasks()) == 2, "the second task was not taken")
    kill(first)
    done = house.finish(second)
    assert (done.code, done.record["status"]) == (0, "completed")
    assert "6" in str(done.record["text"])


def test_of_two_followers_one_takes_over_and_the_other_watches(house: House) -> None:
    """Both print the answer; the task is done once."""
    first = house.start("run", "What is 2 + 2?")
    task = begun(house)
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "1"
    followers = [house.start("tasks", "follow", task, "--json") for _ in range(2)]
    kill(first)
    ends = [house.finish(one) for one in followers]
    assert [(one.code, one.record["status"]) for one in ends] == [(0, "completed")] * 2
    assert len(house.rows("SELECT 1 FROM journal WHERE kind = 'end'")) == 1


def test_a_command_without_an_owner_waits_and_says_how_to_go_on(house: House) -> None:
    """The next owner takes it before it goes on with the task."""
    first = house.start("run", "What is 2 + 2?")
    task = begun(house)
    kill(first)
    cancel = house.run("tasks", "cancel", task)
    assert cancel.code == 0
    assert f"multiagent tasks follow {task}" in cancel.err
    assert inbox(house) == [("cancel", task)]
    follow = house.run("tasks", "follow", task, "--json")
    assert (follow.code, follow.record["status"]) == (3, "cancelled")
    assert inbox(house) == []


@pytest.mark.requirement("C1.commands")
@pytest.mark.parametrize("place", ["intake.after-store-before-delete", "intake.after-delete-before-deliver"])
def test_an_owner_killed_while_it_takes_commands_loses_none_and_takes_none_twice(house: House, place: str) -> None:
    """Killed between storing and deleting, and between deleting and delivering."""
    first = house.start("run", "What is 2 + 2?", fault=place)
    task = begun(house)
    house.run("tasks", "cancel", task, "--reason", "enough")
    assert house.finish(first).code == -signal.SIGKILL
    follow = house.run("tasks", "follow", task, "--json")
    assert (follow.code, follow.record["status"]) == (3, "cancelled")
    assert commands(house, "cancel") == [(task, "")]
    assert len(house.rows("SELECT 1 FROM journal WHERE kind = 'signal'")) == 1


def test_an_owner_without_the_needed_key_refuses_a_handed_task(house: House) -> None:
    """It says which key is missing and what to do; nothing is accepted."""
    first = house.start("run", "What is 2 + 2?")
    begun(house)
    house.extra |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "a-key"}
    refused(house.run("run", "What is 3 + 3?"), 10, "ENGINE_OWNED", str(first.pid), "openai", "MULTIAGENT_HOME")
    assert len(house.tasks()) == 1
    kill(first)


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "retry", "wait"])
def test_an_unknown_task_cannot_be_steered(house: House, command: str) -> None:
    """Nothing is left in the inbox."""
    refused(house.run("tasks", command, "01NOSUCHTASK"), 9, "NOT_FOUND", "01NOSUCHTASK")
    assert not (house.home / "inbox.db").exists() or inbox(house) == []


@pytest.mark.requirement("C3.pause")
def test_a_paused_task_begins_no_step_until_it_is_resumed(house: House) -> None:
    """The running step ends and is kept; the pause outlives its owner."""
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "2"
    first = house.start("run", "What is 2 + 2?", "--json")
    task = begun(house)
    assert house.run("tasks", "pause", task, "--reason", "let me look").code == 0
    until(lambda: not house.in_flight(), "the running step did not end")
    assert house.tasks() == {task: "paused"}
    kinds = [kind for _, kind, _ in house.events(task)]
    assert "step.started" not in kinds[kinds.index("task.paused") :]
    kill(first)
    follower = house.start("tasks", "follow", task, "--json")
    until(lambda: any(kind == "task.recovered" for _, kind, _ in house.events(task)), "the task was not taken up")
    assert house.tasks() == {task: "paused"}
    assert house.run("tasks", "resume", task).code == 0
    done = house.finish(follower)
    assert (done.code, done.record["status"]) == (0, "completed")


def owner_of(house: House) -> int:
    """The pid in the home's lock."""
    return int((house.home / "owner.lock").read_text())


def gone(pid: int) -> bool:
    """Whether a process has ended (it may still be listed as dead)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_detached_task_outlives_its_terminal_and_its_owner_ends_when_idle(house: House) -> None:
    """The id is printed at once; any terminal waits for the answer."""
    house.extra |= {"MULTIAGENT_OFFLINE__LATENCY_S": "1", "MULTIAGENT_OWNER__IDLE_S": "0.5"}
    left = house.run("run", "What is 2 + 2?", "--detach", "--json")
    assert left.code == 0
    task, pid = str(left.record["task"]), int(str(left.record["owner"]))
    early = house.run("tasks", "wait", task, "--timeout", "0")
    refused(early, 12, "has not ended")
    done = house.run("tasks", "wait", task, "--json")
    assert (done.code, done.record["status"]) == (0, "completed")
    until(lambda: gone(pid), "the background owner did not end")


def test_a_detached_task_is_gone_on_with_when_the_owner_before_has_left(house: House) -> None:
    """The background owner waits for its turn where another process owns the home."""
    house.extra |= {"MULTIAGENT_OWNER__IDLE_S": "0.5"}
    first = house.start("run", "What is 2 + 2?")
    begun(house)
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    left = house.run("run", "What is 3 + 3?", "--detach", "--json")
    assert (left.code, left.record["owner"]) == (0, first.pid)
    kill(first)
    done = house.run("tasks", "wait", str(left.record["task"]), "--json")
    assert done.record["status"] == "completed"
    until(lambda: gone(owner_of(house)), "the background owner did not end")


def backgrounds(house: House) -> list[int]:
    """The background owners of this home, serving or waiting."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if b"multiagent.app.owner" in line and f"MULTIAGENT_HOME={house.home}\0".encode() in environment:
            found.append(int(process.name))
    return found


def test_one_background_owner_is_enough(house: House) -> None:
    """Tasks left to it one after the other are done by the same process, and none is left behind."""
    house.extra |= {"MULTIAGENT_OFFLINE__LATENCY_S": "0.5", "MULTIAGENT_OWNER__IDLE_S": "0.5"}
    left = [house.run("run", f"What is {number} + 2?", "--detach", "--json") for number in range(4)]
    until(lambda: len(backgrounds(house)) == 1, "not one background owner is there")
    for one in left:
        done = house.run("tasks", "wait", str(one.record["task"]), "--json", "--timeout", "60")
        assert done.record["status"] == "completed"
    until(lambda: not backgrounds(house), "the background owner did not end")


def test_sigterm_drains_a_background_owner(house: House) -> None:
    """The running step ends and is kept, no other begins, and the task is gone on with later."""
    house.extra |= {"MULTIAGENT_OFFLINE__LATENCY_S": "2", "MULTIAGENT_OWNER__IDLE_S": "0.5"}
    left = house.run("run", "What is 2 + 2?", "--detach", "--json")
    task, pid = str(left.record["task"]), int(str(left.record["owner"]))
    until(lambda: any("think" in one for one in house.in_flight()), "no model call began")
    os.kill(pid, signal.SIGTERM)
    until(lambda: gone(pid), "the background owner did not end")
    kinds = [kind for _, kind, payload in house.events(task) if payload.get("step") == "a/t1/think/1"]
    assert kinds == ["step.started", "step.completed"]
    assert house.in_flight() == []
    assert house.tasks()[task] == "running"
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    done = house.run("tasks", "follow", task, "--json")
    assert (done.code, done.record["status"]) == (0, "completed")
    assert done_twice(house.events(task)) == []


def test_a_cancelled_task_is_tried_again_as_a_new_one(house: House, tmp_path: Path) -> None:
    """With the same input and attachments, linked to the first."""
    table = tmp_path / "sales.csv"
    table.write_text("region,amount\nnorth,1\nsouth,2\n", "utf-8")
    first = house.start("run", "Which region has the highest amount?", "--attach", str(table))
    task = begun(house)
    assert house.run("tasks", "cancel", task).code == 0
    assert house.finish(first).code == 3
    table.unlink()
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    again = house.run("tasks", "retry", task, "--json")
    assert (again.code, again.record["status"]) == (0, "completed")
    new = str(again.record["task"])
    assert f"task {task} is tried again as task {new}" in again.err
    assert house.rows("SELECT parent_id, root_id FROM task_executions WHERE id = ?", new) == [(task, task)]
    refused(house.run("tasks", "retry", new), 2, "INVALID_INPUT", "completed")


def test_a_follower_without_the_needed_key_does_not_take_over(house: House) -> None:
    """It says what is missing; one that has the key goes on, and a run without it leaves that task alone."""
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    with_key = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "a-key"}
    without = dict(house.extra)
    house.extra |= with_key
    first = house.start("run", "What is 2 + 2?", fault="after-start-before-run:2")
    assert house.finish(first).code == -signal.SIGKILL
    (task,) = house.tasks()
    house.extra = without
    refused(house.run("tasks", "follow", task), 2, "INVALID_INPUT", "openai", "doctor")
    other = house.run("run", "What is 3 + 3?", "--json")
    assert (other.code, other.record["status"]) == (0, "completed")
    assert house.tasks()[task] == "running"
    house.extra |= with_key
    assert house.run("tasks", "follow", task).code == 6
    assert house.tasks()[task] == "failed"


@pytest.mark.parametrize("file", ["multiagent.db", "inbox.db"])
def test_a_home_of_a_newer_version_takes_no_commands(house: House, file: str) -> None:
    """Told so, whichever of its files is newer, and nothing is lost."""
    first = house.start("run", "What is 2 + 2?")
    task = begun(house)
    kill(first)
    assert house.run("tasks", "cancel", task).code == 0
    connection = sqlite3.connect(house.home / file)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for command in (("tasks", "cancel", task), ("tasks", "follow", task), ("run", "What is 3 + 3?", "--detach")):
        refused(house.run(*command), 7, "STORAGE_NEWER", "newer")
    assert inbox(house) == [("cancel", task)]
