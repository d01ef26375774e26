"""Asking a person whether a plan may be run: an approval like a tool call's, of the tool ``plan``."""

from typing import Final

import msgspec

from multiagent.agents.asking import Asker
from multiagent.agents.calls import AskOutput
from multiagent.core.canonical import digest_bytes
from multiagent.core.events import EventKind
from multiagent.core.facts import ApprovalAsked
from multiagent.engines.base import StepInfo
from multiagent.orchestrator.calls import AskPlanInput
from multiagent.storage.sql.ops import RequestApproval, UpdateTask

PLAN: Final = "plan"
"""What stands in the place of a tool's name."""


class Consent:
    """The code of the step."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def ask_plan(self, info: StepInfo, given: AskPlanInput) -> AskOutput:
        """Ask; the task waits for the answer. The same task asks once."""
        ports, plan = self._asker.ports, msgspec.json.encode(given.plan)
        now = ports.clock.now()
        expires = now + self._asker.limits.approval_s * 1000
        approval = digest_bytes("multiagent.approval.v1", f"{info.task} {info.key}".encode())[:26]
        hashed = digest_bytes("multiagent.plan.v1", plan)
        fact = ApprovalAsked(approval, "", PLAN, hashed, ("the plan is to be approved first",), expires)
        # Queued ahead of the row: whoever finds what waits finds what it was asked for.
        await info.event(EventKind.APPROVAL_REQUESTED, fact)
        await ports.writer.commit(
            RequestApproval(
                tenant=info.tenant, id=approval, task=info.task, step=info.key, tool=PLAN, args_hash=hashed,
                arguments=plan, time=now, expires=expires,
            ),
            UpdateTask(tenant=info.tenant, id=info.task, time=now, status="waiting", waits_for=f"approval {approval}"),
        )  # fmt: skip
        return AskOutput(approval, expires)
