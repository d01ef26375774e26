"""In which order requests run: those of one task one after the other, tasks side by side.

A queued request with an operation of no task is ahead of all later requests, and a request about no task waits for
everything queued: so queued writes are ahead of every later commit that could know of them.
"""

import asyncio
from collections.abc import Iterator

from multiagent.storage.sql.ops import Op
from multiagent.storage.sql.postgres.handlers import parent_of, task_of

Key = tuple[str, str]


class Request:
    """Operations that stand or fall together, and who waits for them (nobody: queued)."""

    __slots__ = ("followers", "future", "ids", "keys", "open", "ops", "running", "waits", "wide")

    def __init__(
        self, ops: tuple[Op, ...], ids: list[str], future: "asyncio.Future[tuple[object, ...]] | None"
    ) -> None:
        self.ops = ops
        self.ids = ids
        self.future = future
        tasks = {(op.tenant, task) for op in ops for task in (task_of(op), parent_of(op)) if task}
        self.keys = frozenset(tasks)
        self.wide = future is None and any(not task_of(op) for op in ops)
        self.followers: list[Request] = []
        self.waits = 0
        self.running = False
        self.open = True


class Lanes:
    """The requests that are not finished, each behind those that it must not overtake."""

    def __init__(self) -> None:
        self._last: dict[Key, Request] = {}
        self._wide: Request | None = None
        self._queued: dict[Request, None] = {}
        self.open = 0

    def add(self, request: Request) -> bool:
        """Put a request behind those before it; return whether it may run at once."""
        before = {last for key in request.keys if (last := self._last.get(key)) is not None and last.open}
        if self._wide is not None:
            before.add(self._wide)
        if request.future is None:
            self._queued[request] = None
        elif not request.keys:
            before.update(self._queued)
        for one in before:
            one.followers.append(request)
        request.waits = len(before)
        for key in request.keys:
            self._last[key] = request
        if request.wide:
            self._wide = request
        self.open += 1
        return not request.waits

    def take(self, head: Request, most: int) -> list[Request]:
        """Return a request that may run and those right behind it in its lane that may go in its transaction."""
        batch = [head]
        for one in batch:
            one.running = True
            following = [
                behind for behind in one.followers
                if behind.waits == 1 and behind.open and behind.keys == head.keys and behind.wide == head.wide
            ]  # fmt: skip
            batch += following[: most - len(batch)]
        return batch

    def finish(self, request: Request) -> Iterator[Request]:
        """Take a request out; yield those that may run now."""
        request.open = False
        self.open -= 1
        self._queued.pop(request, None)
        for key in request.keys:
            if self._last.get(key) is request:
                del self._last[key]
        if self._wide is request:
            self._wide = None
        for behind in request.followers:
            behind.waits -= 1
            if not behind.waits and behind.open and not behind.running:
                yield behind

    def pass_by(self, request: Request, held: Request) -> None:
        """Let what waits for a request, now or later, wait for the one that it itself waited for."""
        for behind in request.followers:
            if behind.open and behind not in held.followers:
                behind.waits += 1
                held.followers.append(behind)
        for key in request.keys:
            if self._last.get(key) is request:
                self._last[key] = held


def waiting_behind(held: Request) -> Iterator[Request]:
    """Yield the commits that wait, at whatever distance, for a queued request that cannot be committed now."""
    seen = {held}
    queue = [held]
    for one in queue:
        for behind in one.followers:
            if behind.open and behind not in seen:
                seen.add(behind)
                queue.append(behind)
                if behind.future is not None:
                    yield behind
