"""All tools as the platform assembles them: real storage, the default policy, the sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import PolicyDenied
from multiagent.core.principal import Principal, as_agent
from multiagent.core.task import Attachment
from multiagent.policy.factory import open_policy
from multiagent.sandbox.base import Limits
from multiagent.sandbox.factory import open_sandbox
from multiagent.storage.factory import Storage, open_storage
from multiagent.tools.base import Checked, Runner, ToolContext, ToolRequest
from multiagent.tools.factory import ToolOptions, open_tools

pytest_plugins = ["multiagent.testing.sandbox_fixture"]

CODER = as_agent(Principal("acme", "ada", permissions=("code_execution",)), "a1", ("code_execution",))
CSV = b"region,amount\nnorth,10\nsouth,20\n"
SUM = "import csv\nprint(sum(int(row['amount']) for row in csv.DictReader(open('/data/sales.csv'))))"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(tmp_path, clock=SystemClock(), ids=SystemIds(), synchronous="NORMAL") as opened:
        yield opened


@pytest.fixture
async def runner(storage: Storage, sandbox_cache: Path, tmp_path: Path) -> AsyncIterator[Runner]:
    policy = open_policy(verdicts=tmp_path)
    options = ToolOptions(scratch=str(tmp_path / "scratch"), python_limits=Limits(timeout_s=2.0))
    async with open_sandbox(sandbox_cache, size=1) as sandbox:
        yield open_tools(storage.objects, sandbox, storage.writer, policy.decide, SystemClock(), options)


async def context_of(storage: Storage, who: Principal = CODER) -> ToolContext:
    address = await storage.objects.put("acme", CSV)
    attached = Attachment("sales.csv", "text/csv", len(CSV), address, ("private", "untrusted"))
    return ToolContext(who, "t1", "a1/act/1/run", (attached,), SystemClock().now() + 60_000)


def asks(name: str, /, **arguments: object) -> ToolRequest:
    return ToolRequest(name, msgspec.json.encode(arguments).decode())


CALLS = (
    (asks("calculator", expression="0.1 + 0.2"), "0.3", ()),
    (asks("attachments", action="search", query="north"), "sales.csv:2: north,10", ("sales.csv",)),
    (asks("text_processor", operation="count", name="sales.csv"), "lines: 3", ("sales.csv",)),
    (asks("python", code=SUM, files=["sales.csv"]), "30", ("sales.csv",)),
)


@pytest.mark.parametrize(("request_", "content", "sources"), CALLS, ids=lambda value: getattr(value, "name", ""))
async def test_an_agent_uses_every_tool(
    runner: Runner, storage: Storage, request_: ToolRequest, content: str, sources: tuple[str, ...]
) -> None:
    context = await context_of(storage)
    checked = await runner.check(request_, context)
    assert checked.verdict == "allow"
    output = await runner.run(request_, context, checked)
    assert not output.is_error, output.content
    assert content in output.content
    assert output.sources == sources
    assert output.labels == (("private", "untrusted") if sources else ())
    assert output.metrics["tool_ms"] >= 0


@pytest.mark.requirement("S.safety.policy", "S.safety.least-privilege")
@pytest.mark.parametrize(
    ("who", "request_"),
    [
        (as_agent(Principal("acme", "ada"), "a1", ("code_execution",)), CALLS[3][0]),
        (as_agent(Principal("acme", "ada", permissions=("code_execution",)), "a1", ()), CALLS[3][0]),
        (as_agent(Principal("acme", "bob", "guest"), "a1", ()), CALLS[0][0]),
        (CODER, asks("python", code="import subprocess")),
        (CODER, asks("python", code="import os\nos.system('ls')")),
    ],
)
async def test_what_the_policy_denies_is_not_run_however_it_is_asked(
    runner: Runner, storage: Storage, who: Principal, request_: ToolRequest
) -> None:
    """Also a caller that claims the check allowed it is stopped at the run."""
    context = await context_of(storage, who)
    checked = await runner.check(request_, context)
    assert checked.verdict == "deny"
    assert checked.reasons
    with pytest.raises(PolicyDenied):
        await runner.run(request_, context, Checked("allow", checked.arguments_hash))


async def test_a_limit_of_the_sandbox_is_an_answer_an_agent_can_read(runner: Runner, storage: Storage) -> None:
    request, context = asks("python", code="while True: pass"), await context_of(storage)
    output = await runner.run(request, context, await runner.check(request, context))
    assert output.is_error
    assert output.content.startswith("Error: ")
    assert "2 s" in output.content


async def test_agents_are_told_of_all_tools_and_of_those_they_ask_for(runner: Runner) -> None:
    names = ["calculator", "attachments", "python", "text_processor", "ask_user"]
    assert [spec.name for spec in runner.specs(CODER)] == names
    assert [spec.name for spec in runner.specs(CODER, ("python",))] == ["python"]
