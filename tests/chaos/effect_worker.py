"""A process that runs one task with a tool whose effect cannot be undone, and dies right after the effect.

``python -m tests.chaos.effect_worker HOME``. What the tool does stands in ``HOME/posted``, a line each time.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from multiagent.app.faults import arm
from multiagent.core.fault import fault
from multiagent.core.tool import ToolSpec
from multiagent.llm.base import Answer, ModelRequest
from multiagent.testing.replayed import Register
from multiagent.tools.base import ToolContext, ToolOutput
from tests.unit.agents.stage import answer
from tests.unit.orchestrator.task_house import PLAN, good, open_house

PLACE = "post.between-effect-and-outcome"


class Post:
    """Posts something for good."""

    spec = ToolSpec("post", "posts something", '{"type":"object"}', idempotent=False)

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        with self._ledger.open("ab") as file:
            file.write(context.step.encode() + b"\n")
        fault(PLACE)
        return ToolOutput("posted")


def posting(request: ModelRequest) -> Answer:
    """North posts; south only looks; both are added up."""
    if request.purpose == "decompose":
        return answer(PLAN.replace('["echo"]', '["post"]', 1))
    return good(request)


async def work(home: Path) -> None:
    """Run one task until the fault."""
    arm({"MULTIAGENT_FAULT": PLACE})
    with tempfile.TemporaryDirectory() as kept:
        async with open_house(home, Register(Path(kept)), posting, tools=(Post(home / "posted"),)) as house:
            task = await house.begin()
            await house.engine.result("local", task)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
