"""Agents of users' own through the real command line: their failures, their health, processes that lack them."""

import json
from pathlib import Path

import pytest

from tests.chaos.house import House

MODULE = """
import asyncio
from pathlib import Path
from multiagent.agents.custom import AgentAnswer, Health


class Base:
    async def execute_task(self, task, desk):
        return AgentAnswer(f"{self.name} says {await desk.ask('What is 2 + 2?') and 'hello'}")

    async def get_capabilities(self):
        return ["greets"]

    async def health_check(self):
        return Health()


class Greeter(Base):
    name = "greeter"


class Clumsy(Base):
    name = "clumsy"

    async def preprocess_task(self, task):
        raise ValueError("the task has no amount")


class Ill(Base):
    name = "ill"

    async def health_check(self):
        return Health(healthy=False, message="its database is down")


class Patient(Base):
    name = "patient"

    async def execute_task(self, task, desk):
        await desk.ask("What is 3 + 3?")
        while not Path("go").exists():
            await asyncio.sleep(0.02)
        return AgentAnswer("it was worth the wait")


all = [Greeter, Clumsy, Ill, Patient]
"""


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house with the offline model, beside a module of the user's."""
    (tmp_path / "user_agents.py").write_text(MODULE, "utf-8")
    monkeypatch.chdir(tmp_path)
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    return house


def plan(*agents: str) -> str:
    tasks = [{"id": f"t{number}", "instruction": f"do {agent}", "agent": agent} for number, agent in enumerate(agents)]
    Path("plan.json").write_text(json.dumps({"tasks": tasks}))
    return "plan.json"


def test_an_agent_that_raises_or_is_ill_fails_alone_and_the_answer_says_so(house: House) -> None:
    file = plan("greeter", "clumsy", "ill")
    run = house.run("run", "greet", "--plan", file, "--load", "user_agents:all", "--json")
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert [one["status"] for one in told["agents"]] == ["completed", "failed", "failed"]
    assert told["agents"][0]["result"] == "greeter says hello"
    assert told["partial"]
    missing = " ".join(told["missing"])
    assert "the task has no amount" in missing
    assert "its database is down" in missing


def test_the_doctor_says_what_agents_can_do_and_how_they_are(house: House) -> None:
    house.extra["MULTIAGENT_LOAD"] = "user_agents:all"
    run = house.run("doctor", "--json")
    found = {one["name"]: one for one in json.loads(run.out)}
    assert (found["agent greeter"]["state"], found["agent greeter"]["found"]) == ("ok", "greets")
    assert found["agent ill"]["state"] == "bad"
    house.extra["MULTIAGENT_LOAD"] = "user_agents:none"
    assert "has no 'none'" in house.run("doctor").out


def test_what_cannot_be_loaded_is_refused_before_anything_is_accepted(house: House) -> None:
    run = house.run("run", "greet", "--plan", plan("greeter"), "--load", "user_agents:Nobody")
    assert run.code == 2
    assert "error CONFIG_INVALID: --load user_agents:Nobody: user_agents has no 'Nobody'" in run.err
    run = house.run("run", "greet", "--plan", plan("greeter"))
    assert run.code == 2
    assert "unknown agent 'greeter'; there is none" in run.err


def test_a_process_that_has_not_loaded_a_module_refuses_the_tasks_of_one_that_has(house: House) -> None:
    owner = house.start("run", "wait", "--plan", plan("patient"), "--load", "user_agents:Patient")
    assert owner.stderr is not None
    for line in owner.stderr:
        if "t0 started" in line:
            break
    try:
        run = house.run("run", "greet", "--plan", plan("greeter"), "--load", "user_agents:Greeter")
        assert run.code == 10, (run.out, run.err)
        assert "has not loaded user_agents:Greeter" in run.err
    finally:
        owner.kill()
        owner.communicate()


def test_a_killed_agent_of_ones_own_goes_on_and_its_questions_are_paid_once(house: House) -> None:
    owner = house.start("run", "wait", "--plan", plan("patient"), "--load", "user_agents:Patient")
    assert owner.stderr is not None
    for line in owner.stderr:
        if "t0 started" in line:
            break
    (task,) = house.rows("select id from task_executions")[0]
    while not house.rows("select 1 from completions where key like ?", f"{task}/a/t0/employ/ask/1"):
        pass
    owner.kill()
    owner.communicate()
    Path("go").touch()
    run = house.run("tasks", "follow", task, "--load", "user_agents:Patient", "--json")
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert told["text"] == "it was worth the wait"
    assert told["bill"]["model_calls"] == 1


def test_plans_are_made_and_checked_by_the_process_that_owns_the_home(house: House) -> None:
    """A terminal that does not know the owner's tools leaves their names to it."""
    owner = house.start("run", "wait", "--plan", plan("patient"), "--load", "user_agents:Patient")
    assert owner.stderr is not None
    for line in owner.stderr:
        if "t0 started" in line:
            break
    try:
        preview = house.run("plan", "What is 2 + 2?", "--json")
        assert preview.code == 0, preview.err
        assert json.loads(preview.out)["mode"] == "simple"
        known = {"tasks": [{"id": "a", "instruction": "What is 6 * 7?", "tools": ["calculator"]}]}
        Path("known.json").write_text(json.dumps(known))
        run = house.run("run", "sums", "--plan", "known.json", "--json")
        assert run.code == 0, run.err
        assert "**42**" in json.loads(run.out)["text"]
        Path("unknown.json").write_text(json.dumps(known).replace("calculator", "abacus"))
        refused = house.run("run", "sums", "--plan", "unknown.json")
        assert refused.code == 2, (refused.out, refused.err)
        assert "PLAN_INVALID" in refused.err
        assert "tasks[0].tools[0]: unknown tool 'abacus'" in refused.err
    finally:
        owner.kill()
        owner.communicate()
