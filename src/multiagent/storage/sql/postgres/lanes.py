"""In which order requests run: those of one task one after the other, tasks side by side.

A queued request with an operation of no task is ahead of all later requests, and a commit about no task waits for
everything queued before it: so queued writes are ahead of every later commit that could know of them.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

from multiagent.storage.sql.ops import Op
from multiagent.storage.sql.postgres.handlers import parent_of, task_of

Key = tuple[str, str]


class Request:
    """Operations that stand or fall together, and who waits for them (nobody: queued)."""

    __slots__ = ("behind", "future", "ids", "keys", "number", "ops", "running", "wide")

    def __init__(
        self, ops: tuple[Op, ...], ids: list[str], future: "asyncio.Future[tuple[object, ...]] | None"
    ) -> None:
        self.ops = ops
        self.ids = ids
        self.future = future
        self.keys = frozenset((op.tenant, task) for op in ops for task in (task_of(op), parent_of(op)) if task)
        self.wide = future is None and not all(map(task_of, ops))
        self.number = 0
        self.behind = 0
        self.running = False


class Lanes:
    """The requests that are not finished, numbered as they came, each behind those that it must not overtake."""

    def __init__(self) -> None:
        self._lanes: dict[Key, dict[Request, None]] = {}
        self._wide: dict[Request, None] = {}
        self._queued: dict[Request, None] = {}
        self._stalled: dict[Request, None] = {}
        self._last = 0
        self.open = 0

    def add(self, request: Request) -> bool:
        """Put a request behind those before it; return whether it may run at once."""
        self._last += 1
        request.number = self._last
        request.behind = next(reversed(self._wide)).number if self._wide else 0
        for key in request.keys:
            self._lanes.setdefault(key, {})[request] = None
        if request.future is None:
            self._queued[request] = None
        if request.wide:
            self._wide[request] = None
        self.open += 1
        if self._ready(request):
            request.running = True
            return True
        if request.behind or not request.keys:
            self._stalled[request] = None
        return False

    def take(self, head: Request, most: int) -> list[Request]:
        """Return a request that may run and those right behind it in its lane that may go in its transaction."""
        batch = [head]
        lane: dict[Request, None] = {}
        if head.wide and not head.keys:
            lane = self._wide
        elif not head.wide and len(head.keys) == 1:
            lane = self._lanes[next(iter(head.keys))]
        for one in islice(lane, 1, most):
            if one.keys != head.keys or one.wide != head.wide or not (head.wide or self._past_wide(one)):
                break
            batch.append(one)
        for one in batch:
            one.running = True
            self._stalled.pop(one, None)
        return batch

    def finish(self, request: Request) -> Iterator[Request]:
        """Take a request out; yield those that may run now."""
        self.open -= 1
        for waiting in (self._queued, self._wide, self._stalled):
            waiting.pop(request, None)
        heads = []
        for key in request.keys:
            lane = self._lanes[key]
            del lane[request]
            if lane:
                heads.append(next(iter(lane)))
            else:
                del self._lanes[key]
        for one in (*dict.fromkeys(heads), *self._stalled):
            if not one.running and self._ready(one):
                one.running = True
                yield one

    def blocked_by(self, held: Request) -> list[Request]:
        """Return the commits that wait for a queued request."""
        lanes: Iterable[dict[Request, None]] = (self._lanes[key] for key in held.keys)
        waiting = {one: None for lane in lanes for one in lane}
        waiting |= {one: None for one in self._stalled if held.wide or not one.keys}
        return [one for one in waiting if one.future is not None and one.number > held.number and not one.running]

    def _ready(self, request: Request) -> bool:
        first = all(next(iter(self._lanes[key])) is request for key in request.keys)
        if not first or not self._past_wide(request):
            return False
        if request.keys or request.wide:
            return True
        return not self._queued or next(iter(self._queued)).number > request.number

    def _past_wide(self, request: Request) -> bool:
        return not request.behind or not self._wide or next(iter(self._wide)).number > request.behind
