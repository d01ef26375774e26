"""Cancelling from another terminal what takes long: a vendor's stream, a program in the sandbox, a whole team."""

import json
import os
from pathlib import Path

import pytest

from multiagent.testing.scripted_script import Reply, Rule, Script, ScriptedCall, read_ledger
from tests.chaos.house import House, calls, vendor
from tests.e2e.test_cli_control import until

ENDLESS = ScriptedCall("python", json.dumps({"code": "while True:\n    pass"}))
SCRIPTS = {
    "a stream that hangs": Script(default=Reply(kind="hang", after=1)),
    "a call that does not answer": Script(default=Reply(latency_s=60)),
    "a program that does not end": Script(default=Reply(calls=(ENDLESS,))),
    "a team": Script(rules=(Rule(Reply(kind="planner"), "decompose"),), default=Reply(latency_s=60)),
}
QUERIES = {"a team": "Compare the regions, then analyse the trend, find outliers and write a report with a plan."}


def workers(parent: int) -> list[str]:
    """The states and processor times of a process's children."""
    return [
        Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if Path(f"/proc/{child}/stat").exists()
    ]


@pytest.mark.requirement("C3.cancel", "S.orchestrator.cancel")
@pytest.mark.parametrize("what", SCRIPTS)
def test_what_takes_long_is_stopped_and_nothing_is_spent_after(tmp_path: Path, sandbox_cache: Path, what: str) -> None:
    """The running steps end, the vendor sees the connection close, no call begins and no token is billed after."""
    script, key = SCRIPTS[what], "act" if "program" in what else "think"
    with vendor(tmp_path, script) as (url, ledger):
        house = House(tmp_path / "home", sandbox_cache, url)
        run = house.start("run", QUERIES.get(what, "Look into this"), "--json")
        until(
            lambda: any(f"/{key}/" in one and not one.endswith("check") for one in house.in_flight()), "no step began"
        )
        (task,) = house.tasks()
        assert house.run("tasks", "cancel", task, "--reason", "enough").code == 0
        at_cancel = calls(ledger)
        done = house.finish(run)
        assert (done.code, done.record["status"]) == (3, "cancelled")
        assert house.in_flight() == []
        until(lambda: ended(ledger), "the vendor still serves a call")
        assert calls(ledger) == at_cancel
    kinds = [kind for _, kind, _ in house.events(task)]
    assert kinds[-1] == "task.cancelled"
    [(asked, over)] = house.rows(
        """SELECT c.time, max(e.time) FROM commands c JOIN events e ON e.task = c.task
         WHERE c.kind = 'cancel' AND e.kind = 'step.failed'"""
    )
    print(f"{what}: the last running step ended {over - asked} ms after the command")


def ended(ledger: Path) -> bool:
    """Whether every call that the vendor began is over, delivered or not."""
    lines = read_ledger(ledger)
    began, over = ({line.call for line in lines if line.event == event} for event in ("began", "ended"))
    return began <= over


@pytest.mark.requirement("C3.cancel")
def test_a_cancelled_program_leaves_no_worker_at_work(tmp_path: Path, sandbox_cache: Path) -> None:
    """The worker that ran it is gone while its owner goes on with another task."""
    script = Script(
        rules=(Rule(Reply(calls=(ENDLESS,)), contains="endless"),), default=Reply(latency_s=60, text="nothing")
    )
    with vendor(tmp_path, script) as (url, _):
        house = House(tmp_path / "home", sandbox_cache, url)
        owner = house.start("run", "Wait for me")
        until(house.in_flight, "no step began")
        endless = house.start("run", "Do something endless", "--json")
        until(lambda: any(one.endswith("/run") for one in house.in_flight()), "no program began")
        until(lambda: "R" in workers(owner.pid), "no worker is at work")
        [task] = [str(task) for (task,) in house.rows("SELECT id FROM task_executions WHERE query LIKE '%endless'")]
        assert house.run("tasks", "cancel", task).code == 0
        assert house.finish(endless).record["status"] == "cancelled"
        until(lambda: "R" not in workers(owner.pid), "a worker is still at work")
        os.kill(owner.pid, 15)
        assert house.finish(owner).code == 143
