"""Approvals and intents: what must stand in storage before a tool may act, and what it answered."""

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.decision import ToolAsk
from multiagent.core.errors import EffectUnknown, PolicyDenied
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import ConsumeApproval, Intent, Op, RecordIntent, ResolveIntent
from multiagent.tools.base import ToolContext, ToolOutput


class _Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an intent ended: with an answer, or refused before the tool was called."""

    output: ToolOutput | None = None
    refused: str = ""


class Intents:
    """Writes them, by (task, step)."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def claim(self, ask: ToolAsk, context: ToolContext, *, approval: bool) -> ToolOutput | None:
        """Record what is about to happen and use the approval for it, in one transaction.

        Returns None where the tool may run now, or what it answered when this very step ran before. Raises
        PolicyDenied without an approval, EffectUnknown where this step was interrupted in the middle.
        """
        ops: list[Op] = []
        if approval:
            ops.append(self._consume(ask, context))
        if not ask.idempotent:
            ops.append(self._record(ask, context))
        if not ops:
            return None
        answers = await self._writer.commit(*ops)
        granted = not approval or answers[0] is True
        intent = answers[-1] if not ask.idempotent else None
        if isinstance(intent, Intent) and not intent.created:
            return _earlier(intent, ask)
        if granted:
            return None
        refusal = f"{ask.tool} needs a person's approval of these very arguments, and there is none that holds"
        if intent is not None:
            await self._resolve(ask, context, _Outcome(refused=refusal))
        raise PolicyDenied(refusal, details={"approval": "needed"})

    async def resolve(self, ask: ToolAsk, context: ToolContext, output: ToolOutput) -> None:
        """Record what a tool that is not idempotent answered."""
        if not ask.idempotent:
            await self._resolve(ask, context, _Outcome(output))

    async def _resolve(self, ask: ToolAsk, context: ToolContext, outcome: _Outcome) -> None:
        await self._writer.commit(
            ResolveIntent(
                tenant=ask.principal.tenant,
                task=context.task,
                step=context.step,
                outcome=msgspec.json.encode(outcome),
                time=self._clock.now(),
            )
        )

    def _consume(self, ask: ToolAsk, context: ToolContext) -> ConsumeApproval:
        return ConsumeApproval(
            tenant=ask.principal.tenant,
            task=context.task,
            step=context.step,
            args_hash=ask.arguments_hash,
            time=self._clock.now(),
        )

    def _record(self, ask: ToolAsk, context: ToolContext) -> RecordIntent:
        return RecordIntent(
            tenant=ask.principal.tenant,
            task=context.task,
            step=context.step,
            tool=ask.tool,
            args_hash=ask.arguments_hash,
            time=self._clock.now(),
        )


def _earlier(intent: Intent, ask: ToolAsk) -> ToolOutput:
    """Return what the same step answered before."""
    if (intent.tool, intent.args_hash) != (ask.tool, ask.arguments_hash):
        raise PolicyDenied(
            f"this step began with other arguments or another tool ({intent.tool}); it may not change them"
        )
    if not intent.outcome:
        raise EffectUnknown(
            f"{ask.tool} was interrupted in this step; whether it took effect is not known. Find out, then decide.",
            details={"tool": ask.tool, "arguments_hash": ask.arguments_hash},
        )
    outcome = msgspec.json.decode(intent.outcome, type=_Outcome)
    if outcome.output is None:
        raise PolicyDenied(outcome.refused or f"{ask.tool} was refused in this step before")
    return outcome.output
