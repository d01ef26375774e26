"""A person's decision on what waits for it: taken once, stored and made ready for the workflow in one commit."""

from typing import Final

import msgspec

from multiagent.agents.calls import Word
from multiagent.agents.recheck import Recheck
from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput, NotFound, PolicyDenied
from multiagent.core.fault import fault
from multiagent.core.principal import Principal
from multiagent.storage.sql.base import ApprovalRow, CommandRow, Reader, TaskRow, Writer
from multiagent.storage.sql.ops import StoreCommand, TakeDecision

DECISION: Final = "decision"
"""The kind of a command that says what a person decided and is yet to be taken; then it is a ``decide``."""


class Decision(msgspec.Struct, frozen=True):
    """The payload of a ``decide`` command. ``seen`` is the hash of the arguments that the person was shown (empty:
    as they are now); ``word.arguments`` (JSON) are what they put in their place.
    """

    approval: str
    word: Word
    seen: str = ""


class Approvals:
    """Takes decisions. ``recheck`` checks edited arguments; without it none can be edited."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock, recheck: Recheck | None = None) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._recheck = recheck

    async def take(self, principal: Principal, row: CommandRow) -> str:
        """Take a ``decide`` command, given at its time; return why it was refused, or nothing.

        What was decided before, has expired or is another's changes nothing. A known command is left as it is.
        Raises InvalidInput where it cannot be read or edited arguments do not fit, NotFound, PolicyDenied.
        """
        try:
            decision = msgspec.json.decode(row.payload, type=Decision)
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidInput(f"this decision cannot be read ({error}); decide again") from error
        approval = await self._reader.approval(row.tenant, decision.approval)
        task = await self._reader.task(row.tenant, row.task)
        if approval is None or task is None or approval.task != row.task:
            raise NotFound(f"there is no approval {decision.approval} of task {row.task}")
        check_person(principal, task)
        given = decision.word
        edited = given.arguments if given.approved else ""
        new_hash = await self._checked(row.tenant, approval, edited) if edited else ""
        word = Word(given.approved, principal.name, given.reason, arguments=edited, hash=new_hash)
        payload = msgspec.json.encode(Decision(approval.id, word, decision.seen))
        refused, *_ = await self._writer.commit(
            TakeDecision(
                tenant=row.tenant,
                id=approval.id,
                command=StoreCommand(
                    tenant=row.tenant, id=row.id, task=row.task, kind=row.kind, payload=payload,
                    principal=row.principal, time=row.time,
                ),
                state="approved" if word.approved else "rejected",
                decided_by=word.by,
                time=row.time,
                reason=word.reason,
                args_hash=decision.seen or approval.args_hash,
                new_arguments=edited.encode(),
                new_hash=new_hash,
            )
        )  # fmt: skip
        fault("approvals.after-decide-before-deliver")
        return str(refused)

    async def decide(self, principal: Principal, command: str, task: str, decision: Decision) -> None:
        """Decide now, in this process; raises InvalidInput also where it was refused. The dispatcher delivers it."""
        row = CommandRow(
            principal.tenant, command, task, "decide", msgspec.json.encode(decision), msgspec.json.encode(principal),
            self._clock.now(),
        )  # fmt: skip
        if refused := await self.take(principal, row):
            raise InvalidInput(refused.partition(": ")[2])

    async def _checked(self, tenant: str, approval: ApprovalRow, arguments: str) -> str:
        if self._recheck is None:
            raise InvalidInput("arguments cannot be edited here; approve or reject them as they are")
        return await self._recheck(tenant, approval, arguments)


def check_person(principal: Principal, task: TaskRow) -> None:
    """PolicyDenied unless this principal may decide for this task: its own user, or an administrator; never an agent,
    never a guest.
    """
    own = principal.user == task.user or principal.role == "admin"
    if principal.agent or principal.role == "guest" or not principal.authenticated or not own:
        raise PolicyDenied(
            f"{principal.name} may not decide for task {task.id}; its user ({task.user}) or an administrator may",
            details={"task": task.id},
        )
