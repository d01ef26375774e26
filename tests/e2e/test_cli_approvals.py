"""Approvals through the real command line: a call waits for a person, who may change it; nothing is decided twice."""

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.chaos.house import House, done_twice, kill
from tests.e2e.test_cli_control import inbox, refused, until
from tests.house.tree import ROOT

RULE = """package multiagent.tools

import rego.v1

obligations contains "approve" if input.tool.name == "calculator"
"""
TEST = """package multiagent.ask_test

import rego.v1

agent := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": [], "agent": "a"}

sum := {"name": "calculator", "group": "basic", "idempotent": true}

test_sums_need_a_word if {
	decision := data.multiagent.tools.decision with input as {"user": agent, "tool": sum, "arguments": {"hash": "h"}, "labels": []}
	decision.obligations == ["approve"]
}
"""  # noqa: E501


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model, where sums need a person's word."""
    rules = tmp_path / "policy"
    shutil.copytree(ROOT / "policies", rules)
    (rules / "tools_test.rego").unlink()
    (rules / "ask.rego").write_text(RULE, "utf-8")
    (rules / "ask_test.rego").write_text(TEST, "utf-8")
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "MULTIAGENT_POLICY_DIR": str(rules)}
    return house


def asked(house: House) -> tuple[str, str]:
    """Wait until an approval is asked for; return its id and its task."""
    until(lambda: house.rows("SELECT 1 FROM approvals"), "no approval was asked for")
    until(lambda: set(house.tasks().values()) <= {"waiting", "completed"}, "the task does not wait")
    [(approval, task)] = house.rows("SELECT id, task FROM approvals WHERE state = 'pending'")
    return str(approval), str(task)


def state(house: House, approval: str) -> str:
    """What is stored of an approval."""
    [(found,)] = house.rows("SELECT state FROM approvals WHERE id = ?", approval)
    return str(found)


@pytest.mark.requirement("C4.edited", "S.orchestrator.approvals")
def test_edited_arguments_run_as_edited_and_a_decision_counts_once(house: House) -> None:
    """The person's arguments are what the tool gets, what the answer says, and what is kept."""
    run = house.start("run", "What is 2 + 2?", "--json")
    approval, task = asked(house)
    listed = json.loads(house.run("approvals", "list", "--json").out)
    assert [(one["approval"], one["tool"], one["arguments"]) for one in listed] == [
        (approval, "calculator", {"expression": "2 + 2"})
    ]
    assert approval in house.run("tasks", "show", task).out
    yes = house.run("approvals", "approve", approval, "--set", "expression=3 + 4", "--reason", "I meant that")
    assert yes.code == 0
    done = house.finish(run)
    assert done.code == 0
    assert "7" in str(done.record["text"])
    shown = json.loads(house.run("approvals", "show", approval, "--json").out)
    assert (shown["state"], shown["arguments"], shown["reason"]) == (
        "consumed",
        {"expression": "3 + 4"},
        "I meant that",
    )
    for word in ("approve", "reject"):
        refused(house.run("approvals", word, approval), 2, "INVALID_INPUT", "already")
    decided = [payload for _, kind, payload in house.events(task) if kind == "approval.decided"]
    assert [(one["state"], one["by"], one["reason"]) for one in decided] == [("approved", "user/user", "I meant that")]
    assert "waits for approval of calculator" in done.err


@pytest.mark.parametrize(
    ("sets", "code", "name", "word"),
    [
        (("expression=5", "/expression=7"), 2, "INVALID_INPUT", "fit"),
        (("nothing=1",), 2, "INVALID_INPUT", "nothing"),
        (("expression.deep=1",), 2, "INVALID_INPUT", "fits nothing"),
        (("expression",), 2, "INVALID_INPUT", "PATH=VALUE"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_and_decides_nothing(
    house: House, sets: tuple[str, ...], code: int, name: str, word: str
) -> None:
    """A wrong shape, an unknown argument, a pointer that fits nothing, no assignment: it goes on waiting."""
    run = house.start("run", "What is 2 + 2?", "--json")
    approval, _ = asked(house)
    edit = [part for one in sets for part in ("--set", one)]
    refused(house.run("approvals", "approve", approval, *edit), code, name, word)
    assert state(house, approval) == "pending"
    assert house.run("approvals", "reject", approval, "--reason", "not today").code == 0
    assert house.finish(run).code == 0
    assert state(house, approval) == "rejected"


@pytest.mark.requirement("C4.refused")
def test_two_terminals_decide_at_once_and_one_counts(house: House) -> None:
    """The other is told who was first."""
    run = house.start("run", "What is 2 + 2?", "--json")
    approval, _ = asked(house)
    both = [house.start("approvals", word, approval) for word in ("approve", "reject")]
    codes = sorted(house.finish(one).code for one in both)
    assert codes == [0, 2]
    assert house.finish(run).code == 0
    assert state(house, approval) in ("consumed", "rejected")


def test_an_unknown_approval_is_not_found(house: House) -> None:
    """Also in a home that does not exist yet."""
    for word in ("show", "approve", "reject"):
        refused(house.run("approvals", word, "nosuch"), 9, "NOT_FOUND", "approvals list")


def test_a_decision_without_an_owner_waits_and_counts_from_when_it_was_given(house: House) -> None:
    """Though its approval has expired by the time that the next owner takes it, the person was in time."""
    house.extra["MULTIAGENT_APPROVALS__EXPIRE_S"] = "4"
    run = house.start("run", "What is 2 + 2?")
    approval, task = asked(house)
    kill(run)
    yes = house.run("approvals", "approve", approval)
    assert yes.code == 0
    assert f"multiagent tasks follow {task}" in yes.err
    assert inbox(house) == [("decide", task)]
    until(lambda: expired(house, approval), "the approval does not expire")
    done = house.run("tasks", "follow", task, "--json")
    assert done.code == 0
    [(end, by)] = house.rows("SELECT state, decided_by FROM approvals WHERE id = ?", approval)
    assert (end, by) == ("approved", "user/user")


def expired(house: House, approval: str) -> bool:
    """Whether an approval's time is over."""
    [(expires,)] = house.rows("SELECT expires FROM approvals WHERE id = ?", approval)
    return bool(expires < time.time() * 1000)


def test_an_approval_that_expired_cannot_be_given(house: House) -> None:
    """The agent goes on without the call."""
    house.extra["MULTIAGENT_APPROVALS__EXPIRE_S"] = "1"
    done = house.run("run", "What is 2 + 2?", "--json")
    assert done.code == 0
    [(approval, end)] = house.rows("SELECT id, state FROM approvals")
    assert end == "expired"
    refused(house.run("approvals", "approve", str(approval)), 2, "INVALID_INPUT", "expired")


@pytest.mark.requirement("C1.commands")
@pytest.mark.parametrize(
    "place",
    [
        "approvals.after-decide-before-deliver",
        "intake.after-store-before-delete",
        "intake.after-delete-before-deliver",
        "dispatcher.after-deliver-before-acknowledge",
    ],
)
def test_an_owner_killed_with_a_decision_in_hand_loses_none_and_takes_none_twice(house: House, place: str) -> None:
    """Between storing and delivering it, and around: the next owner goes on with the person's word."""
    count = "2" if place.startswith("dispatcher") else "1"  # the first command it delivers is the task's own
    run = house.start("run", "What is 2 + 2?", fault=f"{place}:{count}")
    approval, task = asked(house)
    house.run("approvals", "approve", approval, "--set", "expression=3 + 4")
    assert house.finish(run).code == -signal.SIGKILL
    done = house.run("tasks", "follow", task, "--json")
    assert (done.code, done.record["status"]) == (0, "completed")
    assert "7" in str(done.record["text"])
    assert state(house, approval) == "consumed"
    assert done_twice(house.events(task)) == []
    assert house.rows("SELECT count(*) FROM commands WHERE kind = 'decide' AND error = ''") == [(1,)]
    assert len(house.rows("SELECT 1 FROM journal WHERE kind = 'signal'")) == 1
    assert inbox(house) == []


def test_a_forged_row_of_another_tenant_is_refused(house: House) -> None:
    """Whoever can write the inbox can still not decide in another's name."""
    run = house.start("run", "What is 2 + 2?", "--json")
    approval, task = asked(house)
    payload = json.dumps({"approval": approval, "word": {"approved": True}})
    connection = sqlite3.connect(house.home / "inbox.db")
    people = [
        ("other", {"tenant": "other", "user": "user"}),
        ("local", {"tenant": "other", "user": "user"}),
        ("local", {"tenant": "local", "user": "user", "role": "guest"}),
        ("local", {"tenant": "local", "user": "somebody"}),
        ("local", {"tenant": "local", "user": "user", "agent": "t1"}),
    ]
    with connection:
        connection.executemany(
            "INSERT INTO inbox (tenant_id, id, task, kind, payload, principal, time) VALUES (?, ?, ?, 'decide', ?, ?, 0)",  # noqa: E501
            [
                (tenant, f"forged-{number}", task, payload.encode(), json.dumps(person).encode())
                for number, (tenant, person) in enumerate(people)
            ],
        )
    connection.close()
    until(lambda: inbox(house) == [], "the rows were not taken")
    until(lambda: len(house.rows("SELECT 1 FROM commands WHERE error <> ''")) == 5, "not every row was refused")
    assert state(house, approval) == "pending"
    assert house.run("approvals", "reject", approval).code == 0
    assert house.finish(run).code == 0


def test_a_plan_is_approved_before_any_agent_starts(house: House) -> None:
    """The plan is shown; no agent's step begins before the person's word."""
    run = house.start("run", "What is 2 + 2?", "--require-approval", "--json")
    approval, task = asked(house)
    shown = house.run("approvals", "show", approval)
    assert "tool plan" in shown.out
    assert "What is 2 + 2?" in shown.out
    assert not [key for key, _, _ in house.events(task) if key.startswith("a/")]
    refused(house.run("approvals", "approve", approval, "--set", "reason=x"), 2, "INVALID_INPUT", "plan")
    assert house.run("approvals", "approve", approval).code == 0
    until(lambda: house.rows("SELECT 1 FROM approvals WHERE tool = 'calculator'"), "the agent did not start")
    assert house.run("approvals", "approve", asked(house)[0]).code == 0
    done = house.finish(run)
    assert (done.code, done.record["status"]) == (0, "completed")
    assert "the plan waits for approval" in done.err


def test_a_rejected_plan_ends_the_task(house: House) -> None:
    """With its own code, the person's reason, and no agent started."""
    run = house.start("run", "What is 2 + 2?", "--require-approval", "--json")
    approval, task = asked(house)
    assert house.run("approvals", "reject", approval, "--reason", "too dear").code == 0
    done = house.finish(run)
    assert (done.code, done.record["status"]) == (5, "failed")
    error = done.record["error"]
    assert isinstance(error, dict)
    assert error["code"] == "PLAN_REJECTED"
    assert "too dear" in str(error["message"])
    assert not [key for key, _, _ in house.events(task) if key.startswith("a/")]
