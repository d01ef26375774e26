"""Arguments that a person put in the place of an agent's, checked as the agent's own were: schema, then policy."""

from typing import Protocol

import msgspec

from multiagent.agents.asking import Asker
from multiagent.agents.calls import Seat
from multiagent.agents.steps import acting
from multiagent.core.errors import InvalidInput, PolicyDenied
from multiagent.core.events import EventKind
from multiagent.core.facts import ApprovalAsked
from multiagent.core.label import join
from multiagent.storage.sql.base import ApprovalRow
from multiagent.tools.base import ToolContext, ToolRequest

SECONDS = 60


class Recheck(Protocol):
    """Checks other arguments for an approval."""

    async def __call__(self, tenant: str, approval: ApprovalRow, arguments: str) -> str:
        """Return the hash of these arguments; InvalidInput where they do not fit the tool, PolicyDenied."""
        ...


class Rechecker:
    """See ``Recheck``: as the same agent, with the same tools, attachments and labels."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def __call__(self, tenant: str, approval: ApprovalRow, arguments: str) -> str:
        """See ``Recheck``."""
        asked = await self._asked(tenant, approval)
        if not asked.agent:
            raise InvalidInput("only a tool's arguments can be edited; reject this, and ask for something else")
        ports = self._asker.ports
        task = await self._asker.tasks.load(tenant, approval.task)
        seat = Seat(asked.agent, asked.tools, asked.attachments)
        chain = await self._asker.chains.load(tenant, asked.answer)
        context = ToolContext(
            acting(task, seat, ports.runner.specs(task.principal, seat.tools)),
            approval.task,
            approval.step,
            tuple(one for one in task.attachments if one.name in seat.attachments),
            ports.clock.now() + SECONDS * 1000,
            join(*(message.labels for message in chain)),
        )
        checked = await ports.runner.check(ToolRequest(approval.tool, arguments), context)
        if checked.verdict == "invalid":
            raise InvalidInput(f"these arguments do not fit {approval.tool}: {'; '.join(checked.reasons)}")
        if checked.verdict == "deny":
            raise PolicyDenied(
                f"policy denies {approval.tool} with these arguments: {'; '.join(checked.reasons)}",
                details={"reasons": list(checked.reasons)},
            )
        return checked.arguments_hash

    async def _asked(self, tenant: str, approval: ApprovalRow) -> ApprovalAsked:
        after = 0
        while events := await self._asker.ports.reader.events(tenant, approval.task, after):
            for event in events:
                if event.header.kind is EventKind.APPROVAL_REQUESTED and event.payload:
                    asked = msgspec.json.decode(event.payload, type=ApprovalAsked)
                    if asked.approval == approval.id:
                        return asked
            after = events[-1].header.seq
        raise InvalidInput(
            f"what approval {approval.id} was asked for is no longer known; approve or reject it as it is"
        )
