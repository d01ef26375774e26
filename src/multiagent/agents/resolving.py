"""Results of steps as people see and edit them: the text, calls and observations that they refer to.

What is edited is stored as a new message in the place of the old one, after the same parent.
"""

from collections.abc import Callable

import msgspec

from multiagent.agents.asking import Asker
from multiagent.agents.calls import CallRef, RunOutput, ThinkOutput
from multiagent.agents.memo import link
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.messages import Message, Part, Text, ToolCall, ToolResult


class ShownCall(msgspec.Struct, frozen=True):
    """A tool call with its arguments."""

    id: str
    name: str
    arguments: msgspec.Raw


class ShownThought(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn's answer: its text, and the tools it calls."""

    text: str
    calls: tuple[ShownCall, ...] = ()
    finish: str = "stop"


class ShownObservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool answered."""

    content: str
    is_error: bool = False
    sources: tuple[str, ...] = ()


class Thoughts:
    """Resolves a turn. ``hashed`` is the hash of a call's arguments, as JSON text."""

    def __init__(self, asker: Asker, hashed: Callable[[str], str]) -> None:
        self._asker = asker
        self._hashed = hashed

    async def show(self, tenant: str, output: ThinkOutput) -> bytes:
        """Return the turn as ``ShownThought``."""
        message = await last(self._asker, tenant, output.head)
        calls = tuple(ShownCall(one.id, one.name, _raw(one.arguments)) for one in message.calls)
        return msgspec.json.encode(ShownThought(message.text, calls, output.finish))

    async def keep(self, tenant: str, output: ThinkOutput, edited: bytes) -> ThinkOutput:
        """Store the turn as it is now; InvalidInput where two calls have one id."""
        shown = msgspec.json.decode(edited, type=ShownThought)
        if len({one.id for one in shown.calls}) != len(shown.calls):
            raise InvalidInput("two calls of one answer have the same id; give each its own")
        calls = tuple(ToolCall(one.id, one.name, bytes(one.arguments).decode()) for one in shown.calls)
        text = (Text(shown.text),) if shown.text or not calls else ()
        head = await replaced(self._asker, tenant, output.head, (*text, *calls))
        refs = tuple(CallRef(one.id, one.name, self._hashed(one.arguments)) for one in calls)
        return msgspec.structs.replace(output, head=head, calls=refs, finish=shown.finish, empty=not shown.text.strip())


class Observations:
    """Resolves what a tool answered."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def show(self, tenant: str, output: RunOutput) -> bytes:
        """Return the observation as ``ShownObservation``."""
        result = observed(await last(self._asker, tenant, output.head))
        return msgspec.json.encode(ShownObservation(result.content, output.is_error, output.sources))

    async def keep(self, tenant: str, output: RunOutput, edited: bytes) -> RunOutput:
        """Store the observation as it is now."""
        shown = msgspec.json.decode(edited, type=ShownObservation)
        before = observed(await last(self._asker, tenant, output.head))
        after = ToolResult(before.call_id, before.name, shown.content, shown.is_error)
        head = await replaced(self._asker, tenant, output.head, (after,))
        return msgspec.structs.replace(output, head=head, is_error=shown.is_error, sources=shown.sources)


async def last(asker: Asker, tenant: str, head: str) -> Message:
    """Return the message at ``head``; NotFound where it is not stored."""
    chain = await asker.chains.load(tenant, head)
    if not chain:
        raise NotFound("this step's result refers to no message")
    return chain[-1]


async def replaced(asker: Asker, tenant: str, head: str, parts: tuple[Part, ...]) -> str:
    """Store a message with these parts in the place of the one at ``head``; return its hash."""
    *before, old = await asker.chains.load(tenant, head)
    new, (message,) = link(old.parent, Message(old.role, parts, labels=old.labels))
    asker.store(tenant, message)
    asker.chains.keep(tenant, new, (*before, message))
    return new


def observed(message: Message) -> ToolResult:
    """Return the tool result of a message; NotFound where it has none."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            return part
    raise NotFound("this step's result refers to no observation")


def _raw(arguments: str) -> msgspec.Raw:
    """A model's arguments as JSON; what is none as text."""
    try:
        msgspec.json.decode(arguments)
    except msgspec.MsgspecError:
        return msgspec.Raw(msgspec.json.encode(arguments))
    return msgspec.Raw(arguments.encode())
