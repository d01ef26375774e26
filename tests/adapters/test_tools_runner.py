"""The runner over real storage: what is checked, what is asked, what is recorded, what is tried again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.breaker import BreakerPolicy
from multiagent.core.decision import APPROVE, Ask, Decision, ToolAsk
from multiagent.core.errors import (
    EffectUnknown,
    PolicyDenied,
    SandboxBusy,
    SandboxCrashed,
    SandboxMemory,
    SandboxUnbuilt,
    StorageUnavailable,
    ToolError,
    ToolUnknown,
)
from multiagent.core.principal import Principal
from multiagent.core.retry import Backoff
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.ops import CreateTask, DecideApproval, RequestApproval
from multiagent.tools.base import Checked, ToolContext, ToolOutput, ToolRequest
from multiagent.tools.function import FunctionTool
from multiagent.tools.registry import Registry
from multiagent.tools.runner import RunnerOptions, ToolRunner

ADA = Principal("acme", "ada")
Answering = Callable[[str], Coroutine[object, object, str | ToolOutput]]


@dataclass
class Bench:
    """A runner with tools that do what a test tells them to."""

    storage: Storage
    verdicts: list[Decision] = field(default_factory=lambda: [Decision(True)])
    asked: list[ToolAsk] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    answers: list[ToolOutput | BaseException] = field(default_factory=list)
    breaker: BreakerPolicy = field(default_factory=lambda: BreakerPolicy(max_failures=100))
    output_bytes: int = 4096
    gate: asyncio.Event | None = None

    async def decide(self, ask: Ask) -> Decision:
        assert isinstance(ask, ToolAsk)
        self.asked.append(ask)
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    async def answer(self, text: str) -> ToolOutput:
        """Answer what the test has laid out, else the text."""
        self.ran.append(text)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else ToolOutput(text)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def runner(self) -> ToolRunner:
        registry = Registry(
            [
                FunctionTool(self.answer, name="echo"),
                FunctionTool(self.answer, name="pay", group="admin", idempotent=False),
                FunctionTool(self.answer, name="fetch", group="network"),
                FunctionTool(self.answer, name="slow", timeout_s=0.01),
                FunctionTool(self.answer, name="slow_pay", idempotent=False, timeout_s=0.01),
            ]
        )
        options = RunnerOptions(self.output_bytes, 3, Backoff(base=0.0), self.breaker)
        return ToolRunner(registry, self.decide, self.storage.writer, SystemClock(), options)

    @staticmethod
    def context(step: str = "a1/act/1/run", **more: object) -> ToolContext:
        base = ToolContext(ADA, "t1", step, (), SystemClock().now() + 60_000)
        return msgspec.structs.replace(base, **more)

    async def run(self, name: str, text: str = "hi", step: str = "a1/act/1/run", **more: object) -> ToolOutput:
        """Check and run."""
        runner, request = self.runner(), asks(name, text)
        context = self.context(step, **more)
        return await runner.run(request, context, await runner.check(request, context))

    async def approve(self, name: str, text: str = "hi", state: str = "approved", expires_ms: int = 60_000) -> None:
        """Ask for an approval of this call, and decide it."""
        checked = await self.runner().check(asks(name, text), self.context())
        now = SystemClock().now()
        await self.storage.writer.commit(
            RequestApproval(
                tenant="acme",
                id="p1",
                task="t1",
                step="a1/act/1",
                tool=name,
                args_hash=checked.arguments_hash,
                arguments=b"{}",
                time=now,
                expires=now + expires_ms,
            ),
            DecideApproval(tenant="acme", id="p1", state=state, decided_by="boss", time=now),
        )


def asks(name: str, text: str = "hi") -> ToolRequest:
    return ToolRequest(name, msgspec.json.encode({"text": text}).decode())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_storage(tmp_path, clock=SystemClock(), ids=SystemIds(), synchronous="NORMAL") as storage:
        await storage.writer.commit(
            CreateTask(
                tenant="acme", id="t1", workflow="w", input=b"{}", query="q", user="ada", principal=b"{}", time=1
            )
        )
        yield Bench(storage)


class TestCheck:
    async def test_a_call_that_fits_is_put_to_policy_whole(self, bench: Bench) -> None:
        checked = await bench.runner().check(asks("pay"), bench.context(labels=("private",)))
        assert checked.verdict == "allow"
        (ask,) = bench.asked
        assert (ask.tool, ask.group, ask.idempotent, ask.labels) == ("pay", "admin", False, ("private",))
        assert (ask.principal, ask.arguments_hash) == (ADA, checked.arguments_hash)

    @pytest.mark.requirement("S.safety.policy")
    async def test_policy_may_deny_or_want_approval(self, bench: Bench) -> None:
        bench.verdicts = [Decision(False, ("no",)), Decision(True, (), (APPROVE,))]
        runner = bench.runner()
        assert await runner.check(asks("echo"), bench.context()) == Checked(
            "deny", bench.asked[0].arguments_hash, ("no",)
        )
        assert (await runner.check(asks("echo"), bench.context())).verdict == "approve"

    @pytest.mark.parametrize(
        "arguments",
        [
            "",
            "nope",
            "[]",
            "null",
            '"x"',
            '{"text": 1}',
            '{"text": "a", "more": 1}',
            '{"text": NaN}',
            "{" * 100_000,
            "\ud800",
        ],
    )
    async def test_what_a_model_wrote_wrong_is_invalid_and_not_put_to_policy(
        self, bench: Bench, arguments: str
    ) -> None:
        request = ToolRequest("echo", arguments)
        checked = await bench.runner().check(request, bench.context())
        assert checked.verdict == "invalid"
        assert checked.reasons[0]
        assert bench.asked == []
        output = await bench.runner().run(request, bench.context(), checked)
        assert output.is_error
        assert bench.ran == []

    async def test_an_unknown_tool_is_invalid_and_the_known_ones_are_named(self, bench: Bench) -> None:
        checked = await bench.runner().check(asks("rm"), bench.context())
        assert checked.verdict == "invalid"
        assert "echo, pay" in checked.reasons[0]

    async def test_the_hash_is_of_the_meaning_not_of_the_spelling(self, bench: Bench) -> None:
        runner = bench.runner()
        plain, spaced, other = [
            (await runner.check(ToolRequest("echo", arguments), bench.context())).arguments_hash
            for arguments in ('{"text":"a"}', ' { "text" : "\\u0061" } ', '{"text":"b"}')
        ]
        assert plain == spaced != other

    async def test_specs_are_given_by_name_in_one_order(self, bench: Bench) -> None:
        runner = bench.runner()
        assert [spec.name for spec in runner.specs(ADA)] == ["echo", "pay", "fetch", "slow", "slow_pay"]
        assert [spec.name for spec in runner.specs(ADA, ("pay", "echo"))] == ["echo", "pay"]
        with pytest.raises(ToolUnknown, match="rm"):
            runner.specs(ADA, ("rm",))


class TestRun:
    async def test_the_answer_carries_the_labels_of_all_that_went_in(self, bench: Bench) -> None:
        bench.answers = [ToolOutput("x", labels=("secret",))]
        assert (await bench.run("echo", labels=("private",))).labels == ("private", "secret")
        assert (await bench.run("fetch")).labels == ("untrusted",)

    async def test_other_arguments_than_the_checked_ones_are_denied(self, bench: Bench) -> None:
        runner = bench.runner()
        checked = await runner.check(asks("echo", "good"), bench.context())
        with pytest.raises(PolicyDenied, match="not those that were checked"):
            await runner.run(asks("echo", "bad"), bench.context(), checked)
        assert bench.ran == []

    async def test_policy_is_asked_again_at_the_run(self, bench: Bench) -> None:
        bench.verdicts = [Decision(True), Decision(False, ("changed",))]
        with pytest.raises(PolicyDenied, match="changed"):
            await bench.run("echo")
        assert bench.ran == []

    async def test_a_long_answer_is_cut_and_says_so(self, bench: Bench) -> None:
        bench.answers = [ToolOutput("開" * 5000 + "THE END")]
        content = (await bench.run("echo")).content
        assert len(content.encode()) < bench.output_bytes + 200
        assert "of 15007 bytes are left out" in content
        assert content.startswith("開開")
        assert content.endswith("THE END")

    @pytest.mark.parametrize("error", [ToolError("bad luck"), SandboxMemory("memory limit"), ValueError("bad luck")])
    async def test_a_tools_own_failure_is_an_answer(self, bench: Bench, error: BaseException) -> None:
        bench.answers = [error]
        output = await bench.run("echo")
        assert output.is_error
        assert str(error) in output.content
        assert bench.ran == ["hi"]

    @pytest.mark.parametrize("error", [SandboxUnbuilt("build it"), StorageUnavailable("later"), PolicyDenied("no")])
    async def test_a_failure_of_the_platform_is_raised(self, bench: Bench, error: BaseException) -> None:
        bench.answers = [error]
        with pytest.raises(type(error)):
            await bench.run("echo")

    @pytest.mark.requirement("S.reliability.retry")
    async def test_what_may_pass_is_tried_again_and_the_rest_is_not(self, bench: Bench) -> None:
        bench.answers = [SandboxCrashed("died"), SandboxBusy("busy"), ToolOutput("done")]
        assert (await bench.run("echo")).content == "done"
        assert len(bench.ran) == 3
        bench.answers = [SandboxCrashed("died")] * 9
        assert (await bench.run("echo", step="s2")).is_error
        assert len(bench.ran) == 6

    async def test_a_tool_that_takes_too_long_is_stopped(self, bench: Bench) -> None:
        bench.gate = asyncio.Event()
        output = await bench.run("slow")
        assert output.is_error
        assert "did not finish within 0.01 s" in output.content

    async def test_no_tool_starts_after_the_deadline(self, bench: Bench) -> None:
        output = await bench.run("echo", deadline=SystemClock().now() - 1)
        assert output.is_error
        assert bench.ran == []

    @pytest.mark.requirement("S.reliability.breaker")
    async def test_a_tool_that_keeps_failing_is_left_alone_for_a_while(self, bench: Bench) -> None:
        bench.breaker = BreakerPolicy(max_failures=2, timeout=60)
        runner = bench.runner()
        request, context = asks("echo"), bench.context()
        checked = await runner.check(request, context)
        bench.answers = [RuntimeError("broken"), RuntimeError("broken")]
        for _ in range(2):
            assert "broken" in (await runner.run(request, context, checked)).content
        output = await runner.run(request, context, checked)
        assert output.is_error
        assert "failed 2 times in a row" in output.content
        assert len(bench.ran) == 2
        assert not (await bench.run("fetch")).is_error


class TestEffects:
    """Tools that are not idempotent, and approvals."""

    async def test_an_effect_happens_once_for_a_step_and_is_answered_again(self, bench: Bench) -> None:
        first = await bench.run("pay")
        again = await bench.run("pay")
        assert bench.ran == ["hi"]
        assert again == first
        await bench.run("pay", step="a1/act/2/run")
        assert bench.ran == ["hi", "hi"]

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), SandboxCrashed("died"), ValueError("halfway")])
    async def test_an_effect_that_was_interrupted_is_never_run_again_unasked(
        self, bench: Bench, error: BaseException
    ) -> None:
        bench.answers = [error]
        with pytest.raises((EffectUnknown, asyncio.CancelledError)):
            await bench.run("pay")
        with pytest.raises(EffectUnknown):
            await bench.run("pay")
        assert bench.ran == ["hi"]

    async def test_an_effect_that_took_too_long_is_unknown(self, bench: Bench) -> None:
        bench.gate = asyncio.Event()
        for _ in range(2):
            with pytest.raises(EffectUnknown):
                await bench.run("slow_pay")
        assert bench.ran == ["hi"]

    async def test_a_failure_the_tool_itself_tells_of_is_known(self, bench: Bench) -> None:
        bench.answers = [ToolError("refused by the bank")]
        for _ in range(2):
            output = await bench.run("pay")
            assert output.is_error
            assert "refused by the bank" in output.content
        assert bench.ran == ["hi"]

    async def test_a_step_may_not_change_its_arguments(self, bench: Bench) -> None:
        await bench.run("pay")
        with pytest.raises(PolicyDenied, match="other arguments"):
            await bench.run("pay", "more")
        assert bench.ran == ["hi"]

    @pytest.mark.parametrize("name", ["echo", "pay"])
    async def test_without_an_approval_nothing_that_needs_one_runs(self, bench: Bench, name: str) -> None:
        bench.verdicts = [Decision(True, (), (APPROVE,))]
        for _ in range(2):
            with pytest.raises(PolicyDenied, match="approval"):
                await bench.run(name)
        assert bench.ran == []

    @pytest.mark.parametrize("name", ["echo", "pay"])
    async def test_an_approval_serves_one_step_also_when_it_runs_again(self, bench: Bench, name: str) -> None:
        bench.verdicts = [Decision(True, (), (APPROVE,))]
        await bench.approve(name)
        assert (await bench.run(name)).content == "hi"
        assert (await bench.run(name)).content == "hi"
        with pytest.raises(PolicyDenied):
            await bench.run(name, step="a1/act/2/run")

    @pytest.mark.parametrize(("state", "expires_ms"), [("rejected", 60_000), ("expired", 60_000), ("approved", -1)])
    async def test_an_approval_that_does_not_hold_serves_nobody(
        self, bench: Bench, state: str, expires_ms: int
    ) -> None:
        bench.verdicts = [Decision(True, (), (APPROVE,))]
        await bench.approve("pay", state=state, expires_ms=expires_ms)
        with pytest.raises(PolicyDenied):
            await bench.run("pay")
        assert bench.ran == []

    async def test_an_approval_is_of_its_very_arguments(self, bench: Bench) -> None:
        bench.verdicts = [Decision(True, (), (APPROVE,))]
        await bench.approve("pay", "ten")
        with pytest.raises(PolicyDenied):
            await bench.run("pay", "thousand")
        assert bench.ran == []
