"""Sessions: what a task is told of those before it, the files it may use again, and what it leaves to those after."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput, StorageCorrupt
from multiagent.core.label import Labels
from multiagent.core.messages import message_hash, says
from multiagent.core.principal import Principal
from multiagent.core.task import Attachment, TaskInput, TaskResult
from multiagent.llm.gate_estimate import estimate_text
from multiagent.memory.compaction import compact
from multiagent.memory.session import Memory, read, shortened, turn_of, written
from multiagent.orchestrator.handover import Handover
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.keeping import RememberTurn, ReplaceMemory
from multiagent.storage.sql.ops import StoreMessage

NAME: Final = re.compile(r"[\w.-]{1,64}")
LARGE: Final = 1 << 17
"""A session that remembers more bytes than this is shortened when it is next used."""


def checked_session(name: str) -> str:
    """Return a session's name; InvalidInput where it is none."""
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no session's name: up to 64 letters, digits, _, . and -")
    return name


class Sessions:
    """What a process knows of sessions. ``most`` is the number of tokens that a task is told of its session."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock, most: int) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._most = most

    async def recall(self, principal: Principal, given: Handover) -> Handover:
        """Return a task with what it is told of its session, and with the files of the session that it asks for.

        Those are the ones in ``recalled``, and those that its query names; a file that is attached anew goes first.
        Raises InvalidInput for a name that is none, a session that is another user's, a file it does not know.
        """
        given = msgspec.structs.replace(given, context="")  # only the owner says what a task is told
        if not given.session:
            if given.recalled:
                raise InvalidInput(f"{given.recalled[0]}: there is no such file; only a session remembers files")
            return given
        memory = await self._memory(principal, checked_session(given.session))
        attachments = again(memory, given)
        if not memory.turns:
            return msgspec.structs.replace(given, attachments=attachments)
        shown = compact(given.session, memory, given.query, self._most, estimate_text)
        message = says("user", msgspec.json.encode(shown).decode(), labels=memory.labels)
        head = message_hash(message)
        now = self._clock.now()
        await self._writer.commit(StoreMessage(tenant=principal.tenant, message=message, time=now, hash=head))
        return msgspec.structs.replace(given, attachments=attachments, context=head)

    async def _memory(self, principal: Principal, session: str) -> Memory:
        row = await self._reader.session(principal.tenant, session)
        if row is None:
            return Memory()
        if row.user != principal.user:
            raise InvalidInput(f"session {session} is another user's; choose another name")
        context = await self._reader.memory(principal.tenant, session)
        memory = remembered(session, context)
        if len(context) > LARGE:
            memory = shortened(memory)
            await self._writer.commit(
                ReplaceMemory(tenant=principal.tenant, session=session, before=context, after=written(memory))
            )
        return memory


def remembered(session: str, context: bytes) -> Memory:
    """Return what is stored of a session; StorageCorrupt where it cannot be read."""
    try:
        return read(context)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(
            f"what session {session} remembers cannot be read ({error}); mend: `multiagent sessions forget {session}`"
        ) from error


def again(memory: Memory, given: Handover) -> tuple[Attachment, ...]:
    """Return a task's files: those attached, then those of the session that it asks for or names in its query."""
    known = memory.files
    missing = [name for name in given.recalled if name not in known]
    if missing:
        there = ", ".join(known) or "none"
        raise InvalidInput(f"{missing[0]}: there is no such file, and the session knows none of that name: {there}")
    attached = {one.name for one in given.attachments}
    query = given.query.lower()
    wanted = [name for name in known if name in given.recalled or name.lower() in query]
    return (*given.attachments, *(known[name] for name in wanted if name not in attached))


def remembering(tenant: str, task: TaskInput, result: TaskResult, labels: Labels, now: int) -> Sequence[RememberTurn]:
    """Return what makes a session remember a task that has ended; nothing where it has no session."""
    if not task.session or task.settings.plan_only:
        return ()
    turn = turn_of(task.task, task.query, result.text, result.missing, task.attachments)
    data = msgspec.json.encode(msgspec.structs.replace(turn, labels=labels))
    return (RememberTurn(tenant=tenant, session=task.session, task=task.task, turn=data, time=now),)
