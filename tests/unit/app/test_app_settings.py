"""Every setting changes what the platform does: one test a key, set as a user sets it, by its variable."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from multiagent.agents.asking import Asker
from multiagent.agents.calls import CallRef, Opening, Seat, Terms, ThinkInput, ThinkOutput
from multiagent.agents.steps import AgentSteps
from multiagent.app import place, roles
from multiagent.app.ask import Ask
from multiagent.app.build import Platform, open_platform
from multiagent.app.models import gate_config, shipped
from multiagent.app.owner import serve
from multiagent.app.place import Place
from multiagent.app.sandbox import run_program
from multiagent.app.snapshot import scope_limits, task_settings
from multiagent.app.system import SystemIds
from multiagent.config.settings import Places, Settings
from multiagent.core import errors
from multiagent.core.budget import Limit
from multiagent.core.events import EventKind
from multiagent.core.money import PICO
from multiagent.core.outcome import Failure
from multiagent.llm.base import Answer
from multiagent.llm.factory import open_gate
from multiagent.llm.gate import GateStorage
from multiagent.orchestrator.calls import AnalyzeInput, DecomposeInput
from multiagent.orchestrator.complexity import mode
from multiagent.orchestrator.decompose import Known, read_plan
from multiagent.storage.factory import open_storage
from multiagent.storage.kv.memory import MemoryKeyValue
from multiagent.testing.clock import ManualClock
from multiagent.testing.suites.llm import asks, calls
from tests.adapters.gate_bench import allow
from tests.unit.agents.stage import Info, open_stage
from tests.unit.app.long_session import told_of_a_long_session
from tests.unit.app.settings_keys import configured, key, leaves, marked
from tests.unit.orchestrator.task_drive import TaskDrive, node, script, spent, task

# Tasks: the settings that are frozen with a task, on the product's own workflow.


def drive(answers: Any = None, **keys: object) -> TaskDrive:
    given = msgspec.structs.replace(task(), settings=task_settings(configured(**keys), Ask("q"), ""))
    return TaskDrive(given, answers or script(), lambda count: count - 1)


def first_terms(run: TaskDrive) -> Terms:
    given = run.steps["a/t1/think/1"].input
    assert isinstance(given, ThinkInput)
    return given.terms


def count(run: TaskDrive, ending: str) -> int:
    return sum(name.endswith(ending) for name in run.steps)


def mode_of(score: float, **keys: object) -> str:
    given = drive(**keys).steps["analyze"].input
    assert isinstance(given, AnalyzeInput)
    return mode(score, given.simple_below, given.complex_from)


@key("task.simple_below")
def test_below_which_score_one_agent_does_the_whole() -> None:
    assert (mode_of(0.5), mode_of(0.5, task__simple_below=0.6)) == ("standard", "simple")


@key("task.complex_from")
def test_from_which_score_a_task_is_complex() -> None:
    assert (mode_of(0.5), mode_of(0.5, task__complex_from=0.4)) == ("standard", "complex")


@key("task.max_agents")
def test_how_many_agents_are_at_work_at_the_same_time() -> None:
    wide = script([node(f"t{number}") for number in range(8)])
    assert (drive(wide).widest, drive(wide, task__max_agents=2).widest) == (5, 2)


@key("task.max_nodes")
def test_how_many_agent_tasks_a_plan_may_have() -> None:
    given = drive(task__max_nodes=1).steps["decompose"].input
    assert isinstance(given, DecomposeInput)
    two = json.dumps({"reason": "", "tasks": [{"id": one, "title": one, "instruction": one} for one in ("a", "b")]})
    read_plan(two, Known((), (), Settings().task.max_nodes))
    with pytest.raises(errors.PlanInvalid):
        read_plan(two, Known((), (), given.max_nodes))


@key("task.max_turns")
def test_how_many_turns_an_agent_takes() -> None:
    busy = script(mode="simple", acts=99)
    turns = [sum("/think/" in name for name in drive(busy, **keys).steps) for keys in ({}, {"task__max_turns": 3})]
    assert turns == [8, 3]


@key("task.max_repeats")
def test_how_often_an_agent_makes_the_same_call() -> None:
    def again(step: Any) -> ThinkOutput:
        calls_ = () if step.input.final else (CallRef("c", "python", "same"),)
        return ThinkOutput(step.key, "tool_calls" if calls_ else "stop", spent(), calls_, bool(calls_))

    turns: dict[str, Any] = {f"a__t1__think__{turn}": again for turn in range(1, 9)}
    answers = script(mode="simple", **turns)
    assert (count(drive(answers), "/run"), count(drive(answers, task__max_repeats=1), "/run")) == (3, 1)


@key("task.max_output")
def test_how_long_an_answer_may_be() -> None:
    assert (first_terms(drive()).max_output, first_terms(drive(task__max_output=900)).max_output) == (4096, 900)


@key("task.temperature")
def test_how_warm_a_model_is_asked() -> None:
    assert first_terms(drive(task__temperature=0.7)).temperature == 0.7


@key("task.tier")
@key("task.model")
def test_which_tier_and_which_model_are_asked() -> None:
    assert (first_terms(drive()).tier, first_terms(drive(task__tier="large")).tier) == ("small", "large")
    assert first_terms(drive(task__model="acme-1")).model == "acme-1"


@key("task.failed_agent")
def test_whether_one_failed_agent_ends_the_task() -> None:
    broken = script(a__t1__think__1=Failure("VENDOR_REJECTED", "no"))
    assert drive(broken).result.partial
    assert drive(broken, task__failed_agent="fail_fast").failure.code == "VENDOR_REJECTED"


# Budgets: every limit in the scopes of a call.


@key("budget.task_tokens")
def test_how_many_tokens_a_task_may_use() -> None:
    run = drive(budget__task_tokens=100, task__max_agents=1)
    assert first_terms(run).task_limit.tokens == 100
    assert run.kinds.count(EventKind.BUDGET_ALERT)
    assert not drive(task__max_agents=1).kinds.count(EventKind.BUDGET_ALERT)


@key("budget.task_usd")
def test_how_much_a_task_may_cost() -> None:
    assert first_terms(drive(budget__task_usd="0.25")).task_limit.pico == PICO // 4


@key("budget.request_usd")
def test_how_much_a_model_call_may_cost() -> None:
    assert first_terms(drive(budget__request_usd="0.01")).request_limit == Limit(None, PICO // 100)


async def asked_limits(home: Path, **keys: object) -> dict[str, Limit]:
    """The limits of a call's scopes, as its step tells them to the gate."""
    async with open_stage(home) as stage:
        asker = Asker(stage.asker.ports, scope_limits(configured(**keys)))
        info = Info(await stage.submit("a query"))
        given = await asker.tasks.load("local", info.task)
        asker.tasks._memo.put("local", info.task, msgspec.structs.replace(given, session="s1"))
        await AgentSteps(asker).think(info, ThinkInput(Seat("t1"), Terms("small"), opening=Opening("t", "i", 8)))
        return {one.scope.kind: one.limit for one in stage.gate.asked[0][1].scopes}


@key("budget.user_day_usd")
async def test_how_much_a_user_may_spend_a_day(tmp_path: Path) -> None:
    assert (await asked_limits(tmp_path, budget__user_day_usd="3"))["user"] == Limit(None, 3 * PICO)


@key("budget.tenant_day_usd")
async def test_how_much_everybody_may_spend_a_day(tmp_path: Path) -> None:
    assert (await asked_limits(tmp_path, budget__tenant_day_usd="30"))["tenant"] == Limit(None, 30 * PICO)


@key("budget.session_tokens")
async def test_how_many_tokens_a_session_may_use(tmp_path: Path) -> None:
    assert (await asked_limits(tmp_path, budget__session_tokens=500))["session"] == Limit(500)


# Models: the gate as it is opened.


async def answer(home: Path, environment: dict[str, str], *texts: str, **keys: object) -> list[Answer]:
    """Ask the gate that these settings open; most of an hour passes between one question and the next."""
    clock, ids = ManualClock(), SystemIds()
    home.mkdir(exist_ok=True)
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        parts = GateStorage(storage.writer, storage.reader, MemoryKeyValue(clock))
        config = gate_config(configured(**keys), "me")
        async with open_gate(config, parts, allow, clock, ids, environment) as gate:
            answers = []
            for text in texts or ("What is 2 + 3?",):
                asking = asyncio.create_task(gate.complete(asks(text), calls(clock)))
                while not (await asyncio.wait((asking,), timeout=0.02))[0]:
                    clock.advance(1.0)
                answers.append(await asking)
                clock.advance(3500.0)
            return answers


@key("cache.ttl_s")
async def test_how_long_an_answer_is_served_again(tmp_path: Path) -> None:
    same = ("What is 2 + 3?",) * 2
    assert [one.cached for one in await answer(tmp_path / "a", {}, *same)] == ["", "exact"]
    assert [one.cached for one in await answer(tmp_path / "b", {}, *same, cache__ttl_s=60)] == ["", ""]


@key("offline.failure_rate")
async def test_how_often_the_stand_in_fails(tmp_path: Path) -> None:
    with pytest.raises(errors.VendorUnavailable, match="failure_rate"):
        await answer(tmp_path, {}, offline__failure_rate=1.0)


@key("offline.latency_s")
async def test_how_long_the_stand_in_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float, result: object = None) -> object:
        waits.append(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", noted)
    await answer(tmp_path, {}, offline__latency_s=7.5)
    assert 7.5 in waits


@key("models_file")
def test_which_models_there_are(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("vendors: {}\n", "utf-8")
    assert gate_config(configured(models_file=file), "me").models == {"vendors": {}}
    assert gate_config(Settings(), "me").models == yaml.safe_load(shipped("configs", "models.yaml").read_text("utf-8"))


@key("budget.model_day_usd")
async def test_how_much_each_model_may_cost_a_day(tmp_path: Path) -> None:
    """Refused before anything is sent."""
    environment = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "k"}
    with pytest.raises(errors.BudgetExceeded, match="the budget of model openai/"):
        await answer(tmp_path, environment, budget__model_day_usd="0.000001")


# The sandbox, and the opened platform.


@key("sandbox.timeout_s")
async def test_how_long_a_program_may_run(sandbox_cache: Path) -> None:
    assert await failure("while True: pass", sandbox_cache, sandbox__timeout_s=0.3) == "SANDBOX_TIMEOUT"


@key("sandbox.memory_mib")
async def test_how_much_memory_a_program_may_use(sandbox_cache: Path) -> None:
    code = "x = bytearray(100 << 20)"
    assert await failure(code, sandbox_cache) == ""
    assert await failure(code, sandbox_cache, sandbox__memory_mib=64) != ""


@key("sandbox.output_kib")
async def test_how_much_a_program_may_print(sandbox_cache: Path) -> None:
    code = "print('x' * 100_000)"
    assert await failure(code, sandbox_cache) == ""
    assert await failure(code, sandbox_cache, sandbox__output_kib=8) == "SANDBOX_OUTPUT"


async def failure(code: str, cache: Path, **keys: object) -> str:
    from multiagent.core.errors import SandboxError

    try:
        ended = await run_program(code, (), None, configured(**keys).sandbox, cache)
    except SandboxError as error:
        return error.code
    return ended.error.type if ended.error is not None else ""


@asynccontextmanager
async def opened(home: Path, cache: Path, **keys: object) -> AsyncIterator[Platform]:
    async with open_platform(Places(str(home), str(cache)), configured(**keys), {}) as platform:
        yield platform


async def hits(platform: Platform) -> int:
    """Ask the same twice; return how many answers were served from the cache."""
    found = 0
    for _ in range(2):
        name = await platform.submit(Ask("2 + 2"))
        await platform.settled(name)
        found += [event.header.kind async for event in platform.follow(name)].count(EventKind.CACHE_HIT)
    return found


@key("cache.enabled")
async def test_whether_answers_are_served_again(tmp_path: Path, sandbox_cache: Path) -> None:
    async with opened(tmp_path / "with", sandbox_cache) as platform:
        assert await hits(platform) > 0
    async with opened(tmp_path / "without", sandbox_cache, cache__enabled="false") as platform:
        assert await hits(platform) == 0


@key("attachments.max_mib")
@key("attachments.max_count")
async def test_how_large_and_how_many_attachments_may_be(tmp_path: Path, sandbox_cache: Path) -> None:
    large, small = tmp_path / "large.txt", tmp_path / "small.txt"
    large.write_bytes(b"x\n" * (600 << 10))
    small.write_bytes(b"x\n")
    limits = {"attachments__max_mib": 1, "attachments__max_count": 1}
    async with opened(tmp_path / "home", sandbox_cache, **limits) as platform:
        for files in ((large,), (small, large)):
            with pytest.raises(errors.AttachmentRejected):
                await platform.submit(Ask("what?", files))
        await platform.submit(Ask("what?", (small,)))


@key("policy_dir")
@key("load")
async def test_whose_policy_holds_and_which_modules_are_loaded(tmp_path: Path, sandbox_cache: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "broken.rego").write_text("package nothing\nallow if {", "utf-8")
    with pytest.raises(errors.PolicyBroken):
        async with opened(tmp_path / "home", sandbox_cache, policy_dir=tmp_path / "policies"):
            pass
    with pytest.raises(errors.ConfigInvalid, match="nowhere_at_all"):
        async with opened(tmp_path / "home", sandbox_cache, load="nowhere_at_all:Agent"):
            pass


@key("storage.synchronous")
@key("sandbox.workers")
async def test_how_storage_and_sandbox_are_opened(
    tmp_path: Path, sandbox_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they do with it is in their own tests."""
    seen: dict[str, object] = {}

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            seen[name] = named.get("synchronous") or named.get("size")
            return real(*given, **named)

        return called

    for where, name in ((place, "open_storage"), (roles, "open_sandbox")):
        monkeypatch.setattr(where, name, noting(name, getattr(where, name)))
    async with opened(tmp_path / "home", sandbox_cache, storage__synchronous="NORMAL", sandbox__workers=1):
        assert seen == {"open_storage": "NORMAL", "open_sandbox": 1}


@key("approvals.expire_s")
def test_how_long_a_person_has_to_approve() -> None:
    assert scope_limits(configured(approvals__expire_s=90)).approval_s == 90


@key("session.max_tokens")
async def test_how_much_a_task_is_told_of_its_session(tmp_path: Path, sandbox_cache: Path) -> None:
    async with opened(tmp_path / "home", sandbox_cache, session__max_tokens=300) as platform:
        assert 200 < await told_of_a_long_session(platform) <= 300


@key("owner.idle_s")
@key("owner.drain_s")
async def test_when_the_background_owner_ends(tmp_path: Path, sandbox_cache: Path) -> None:
    """At once where it may not be idle; asked to stop, it waits no longer than it may."""
    settings = configured(owner__idle_s=0, owner__drain_s=0, storage__synchronous="NORMAL", sandbox__workers=1)
    async with asyncio.timeout(60):
        await serve(Place(Places(str(tmp_path / "home"), str(sandbox_cache)), settings), asyncio.Event())
    assert settings.owner.drain_s == 0


def test_every_key_has_its_test() -> None:
    assert leaves(msgspec.to_builtins(Settings())) == marked()
