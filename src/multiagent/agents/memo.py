"""What steps read again and again and what never changes: kept in memory, least recently used out first."""

from collections import OrderedDict
from typing import Generic, TypeVar

import msgspec

from multiagent.core.errors import NotFound
from multiagent.core.messages import Message, message_hash
from multiagent.core.task import TaskInput
from multiagent.storage.sql.base import Reader

V = TypeVar("V")


class Memo(Generic[V]):
    """A bounded map of things that are immutable under their key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], V] = OrderedDict()

    def get(self, tenant: str, key: str) -> V | None:
        """Return what is kept, or None."""
        found = self._kept.get((tenant, key))
        if found is not None:
            self._kept.move_to_end((tenant, key))
        return found

    def put(self, tenant: str, key: str, value: V) -> V:
        """Keep and return a value."""
        self._kept[tenant, key] = value
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value


class Tasks:
    """Start inputs of tasks, by id."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._memo: Memo[TaskInput] = Memo(128)
        self._decoder = msgspec.json.Decoder(TaskInput)

    async def load(self, tenant: str, task: str) -> TaskInput:
        """Return the input that a task was accepted with; NotFound where there is no such task."""
        known = self._memo.get(tenant, task)
        if known is not None:
            return known
        row = await self._reader.task(tenant, task)
        if row is None:
            raise NotFound(f"there is no task {task}; list them with `multiagent tasks list`")
        return self._memo.put(tenant, task, self._decoder.decode(row.input))


class Chains:
    """Conversations by head: each is read once, and grows in memory as its steps append to it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._memo: Memo[tuple[Message, ...]] = Memo(512)

    async def load(self, tenant: str, head: str) -> tuple[Message, ...]:
        """Return the messages from the root to ``head`` (none for an empty head); NotFound where one is missing."""
        if not head:
            return ()
        known = self._memo.get(tenant, head)
        if known is not None:
            return known
        return self._memo.put(tenant, head, await self._reader.chain(tenant, head))

    async def text(self, tenant: str, head: str) -> str:
        """Return the text of the message at ``head`` (empty for an empty head)."""
        chain = await self.load(tenant, head)
        return chain[-1].text if chain else ""

    def keep(self, tenant: str, head: str, chain: tuple[Message, ...]) -> None:
        """Remember a chain whose messages have been given to storage."""
        self._memo.put(tenant, head, chain)


def link(head: str, *messages: Message) -> tuple[str, tuple[Message, ...]]:
    """Return the new head and the messages, each with its parent set, as they follow ``head``."""
    linked = []
    for message in messages:
        placed = msgspec.structs.replace(message, parent=head)
        linked.append(placed)
        head = message_hash(placed)
    return head, tuple(linked)
