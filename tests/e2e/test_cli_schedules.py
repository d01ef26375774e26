"""Schedules through the real command line."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multiagent.engines.factory import owner_of
from tests.chaos.house import House

GUARD_S = 60


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model, whose background owner leaves soon."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "MULTIAGENT_OWNER__IDLE_S": "1"}
    return house


def shown(house: House, name: str) -> "dict[str, object]":
    found: dict[str, object] = json.loads(house.run("schedules", "show", name, "--runs", "1000", "--json").out)
    return found


def runs(house: House, name: str) -> "list[dict[str, object]]":
    """The runs of a schedule, in the order of their times."""
    found = shown(house, name)["runs"]
    assert isinstance(found, list)
    return found[::-1]


def until(condition: Callable[[], bool]) -> None:
    """Ask again until it holds: each question is a process of its own."""
    end = time.monotonic() + GUARD_S
    while not condition():
        assert time.monotonic() < end, "this did not come about in time"


def test_a_schedule_runs_tasks_under_its_own_budget_until_it_is_paused_and_deleted(house: House) -> None:
    """Its background owner stays as long as there are times to come, and leaves once there are none."""
    made = house.run(
        "schedules", "create", "often", "What is 2 + 2?", "--every", "1s", "--budget-usd", "0.05",
        "--budget-tokens", "9000", "--overlap", "skip",
    )  # fmt: skip
    assert (made.code, "multiagent serve" in made.err) == (0, True), made.err
    until(lambda: sum(run["status"] == "completed" for run in runs(house, "often")) >= 2)
    found = runs(house, "often")
    assert len({run["planned"] for run in found}) == len(found)
    task = str(found[0]["task"])
    listed = json.loads(house.run("tasks", "list", "--schedule", "often", "--status", "completed", "--json").out)
    assert task in [row["task"] for row in listed]
    assert house.run("tasks", "list", "--schedule", "ofte", "--json").out.strip() == "[]"
    assert limit(house, task) == {"tokens": 9000, "pico": 50_000_000_000}
    assert "4" in house.run("tasks", "show", task).out
    assert house.run("schedules", "pause", "often", "--note", "the vendor is down").code == 0
    paused = shown(house, "often")
    assert (paused["paused"], paused["note"], paused["next"]) == (True, "the vendor is down", [])
    assert "paused" in house.run("schedules", "list").out
    left_alone(house)
    count = len(runs(house, "often"))
    assert house.run("schedules", "trigger", "often").code == 0
    until(lambda: len(runs(house, "often")) == count + 1)
    assert house.run("schedules", "delete", "often").code == 0
    assert house.run("schedules", "list", "--json").out.strip() == "[]"
    assert house.run("tasks", "show", task).code == 0
    left_alone(house)


def test_a_past_day_is_backfilled_one_run_after_another_and_not_twice(house: House) -> None:
    made = house.run(
        "schedules", "create", "hourly", "What is 3 + 3?", "--cron", "0 * * * *", "--tz", "Europe/Berlin", "--paused",
    )  # fmt: skip
    assert made.code == 0, made.err
    filled = house.run("schedules", "backfill", "hourly", "--from", "2026-03-29T01:00", "--to", "2026-03-29T04:00")
    assert filled.code == 0, filled.err
    until(lambda: [run["status"] for run in runs(house, "hourly")] == ["completed"] * 3)
    first = runs(house, "hourly")
    assert [run["planned"] for run in first] == [f"2026-03-29T0{hour}:00:00.000Z" for hour in (0, 1, 2)]
    assert house.run("schedules", "backfill", "hourly", "--from", "2026-03-29", "--to", "2026-03-29T04:00").code == 0
    until(lambda: len(runs(house, "hourly")) == 4 and shown(house, "hourly")["backfills"] == [])
    assert [run["task"] for run in runs(house, "hourly")][1:] == [run["task"] for run in first]


def limit(house: House, task: str) -> object:
    """The budget that a task is frozen with."""
    ((data,),) = house.rows("SELECT input FROM task_executions WHERE id = ?", task)
    return json.loads(data)["settings"]["limit"]


def left_alone(house: House) -> None:
    """Wait until the background owner has left."""
    until(lambda: owner_of(house.home) is None)


def kill_owner(house: House) -> None:
    """Kill -9 the background owner."""
    pid = owner_of(house.home)
    assert pid
    os.kill(pid, signal.SIGKILL)
    left_alone(house)


WRONG = {
    "a cron line that cannot be read": (("--cron", "61 * * * *"), "bad minute"),
    "no such zone": (("--cron", "0 9 * * *", "--tz", "Europe/Berlni"), "Europe/Berlin"),
    "an interval of nothing": (("--every", "0s"), "say when"),
    "an interval in fractions": (("--every", "0.5s"), "whole seconds"),
    "no time at all": ((), "say when"),
    "two kinds of times": (("--every", "1h", "--cron", "0 9 * * *"), "one of the two"),
    "an unknown overlap": (("--every", "1h", "--overlap", "queue"), "buffer_one"),
    "no budget": (("--every", "1h", "--budget-tokens", "0"), "at least 1"),
    "no amount": (("--every", "1h", "--budget-usd", "much"), "amount"),
    "an end before its start": (("--every", "1h", "--start", "2030-01-02", "--end", "2030-01-01"), "later end"),
    "a time that is none": (("--every", "1h", "--start", "tomorrow"), "no time"),
    "an end that has passed": (("--every", "1h", "--end", "2020-01-01"), "never run"),
    "a window of a second": (("--every", "1h", "--catch-up", "1s"), "catch-up"),
}


def test_what_cannot_be_scheduled_is_refused_with_what_would_do(house: House) -> None:
    for what, (options, why) in WRONG.items():
        refused = house.run("schedules", "create", "odd", "What is 2 + 2?", *options)
        assert (refused.code, why in refused.err) == (2, True), (what, refused)
    assert house.run("schedules", "create", "Odd Name", "q", "--every", "1h").code == 2
    assert house.run("schedules", "create", "odd", " ", "--every", "1h").code == 2
    for command in (("show", "none"), ("pause", "none"), ("unpause", "none"), ("trigger", "none"), ("delete", "none")):
        assert house.run("schedules", *command).code == 9
    assert house.run("schedules", "list", "--json").out.strip() == "[]"
    left_alone(house)


def test_a_name_is_taken_once_and_an_update_changes_what_is_given(house: House) -> None:
    assert house.run("schedules", "create", "daily", "What is 2 + 2?", "--cron", "0 9 * * *", "--paused").code == 0
    again = house.run("schedules", "create", "daily", "What is 2 + 2?", "--every", "1h")
    assert (again.code, "already" in again.err) == (2, True)
    assert house.run("schedules", "update", "daily", "--every", "2h", "--budget-usd", "0.2").code == 0
    assert house.run("schedules", "update", "daily", "--overlap", "cancel-other", "--tier", "small").code == 0
    found = shown(house, "daily")
    assert (found["cron"], found["every_s"], found["budget_usd"], found["tier"], found["overlap"], found["paused"]) == (
        None, 7200, "0.2", "small", "cancel_other", True,
    )  # fmt: skip
    odd = house.run("schedules", "update", "daily", "--cron", "every day")
    assert (odd.code, "cannot be read" in odd.err) == (2, True)
    left_alone(house)


def test_an_owner_that_is_killed_leaves_its_schedules_to_the_next_which_runs_what_was_missed(house: House) -> None:
    assert (
        house.run("schedules", "create", "often", "What is 2 + 2?", "--every", "1s", "--overlap", "allow-all").code == 0
    )
    until(lambda: bool(runs(house, "often")))
    kill_owner(house)
    before = {str(run["planned"]) for run in runs(house, "often")}
    assert house.run("schedules", "update", "often", "--end", "2999-01-01").code == 0
    until(lambda: len(runs(house, "often")) >= len(before) + 3)
    found = runs(house, "often")
    assert len({run["planned"] for run in found}) == len(found)
    assert house.run("schedules", "delete", "often").code == 0
    left_alone(house)
