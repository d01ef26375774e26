"""A person's decision on a call that waits for it: recorded and sent to the workflow in one commit."""

import msgspec

from multiagent.agents.calls import Word
from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput
from multiagent.core.principal import Principal
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import DecideApproval, StoreCommand, UpdateTask


class Decision(msgspec.Struct, frozen=True):
    """The payload of a ``decide`` command."""

    approval: str
    word: Word


class Approvals:
    """Takes decisions."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def decide(self, principal: Principal, task: str, decision: Decision) -> None:
        """Decide once; InvalidInput where it was decided, or had expired, before. The dispatcher delivers it."""
        now, tenant, word = self._clock.now(), principal.tenant, decision.word
        payload = Decision(decision.approval, msgspec.structs.replace(word, by=principal.name))
        decided, *_ = await self._writer.commit(
            DecideApproval(
                tenant=tenant,
                id=decision.approval,
                state="approved" if word.approved else "rejected",
                decided_by=principal.name,
                time=now,
                reason=word.reason,
            ),
            # Of several decisions only the first gets the id; one that comes after the expiry finds nobody waiting.
            StoreCommand(
                tenant=tenant,
                id=f"decide/{decision.approval}",
                task=task,
                kind="decide",
                payload=msgspec.json.encode(payload),
                principal=msgspec.json.encode(principal),
                time=now,
            ),
            UpdateTask(tenant=tenant, id=task, time=now, status="running", waits_for=""),
        )
        if not decided:
            raise InvalidInput(f"the approval {decision.approval} is unknown, decided or expired; nothing was changed")
