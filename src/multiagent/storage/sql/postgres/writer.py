"""The writer on PostgreSQL: each lane's requests one transaction after the other, what waits in a lane in one.

A transaction that others stood in the way of, or whose connection went before it was to be committed, is run again. One
whose connection went while it was being committed is looked up: where an event of its own stands, all of it does. One
that is a single call is made again, as it finds what it has stored before.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from multiagent.core.errors import PlatformError, StorageError, StorageUnavailable
from multiagent.core.events import EventHeader
from multiagent.core.ids import Ids
from multiagent.storage.objects.base import Bodies
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, Op
from multiagent.storage.sql.postgres.advance import advance, move
from multiagent.storage.sql.postgres.doubt import Witness, stands, witness
from multiagent.storage.sql.postgres.faults import RAISED, in_the_way, lost, storage_error
from multiagent.storage.sql.postgres.handlers import REPEATABLE, perform
from multiagent.storage.sql.postgres.herald import Herald
from multiagent.storage.sql.postgres.lanes import Key, Lanes, Request
from multiagent.storage.sql.postgres.pool import Pool
from multiagent.storage.sql.postgres.scribe import Connection, Scribe

MOST_WAITING: Final = 10_000
"""Requests that may be under way; above, ``commit`` waits for room and ``queue`` is refused."""

ROOM_S: Final = 10.0
"""How long ``commit`` waits for room."""

BATCH: Final = 64
"""Requests in one transaction, at the most."""

ATTEMPTS: Final = 5
"""How often a transaction is run that others stand in the way of, or whose connection goes."""

DOUBT_S: Final = 20.0
"""How long to wait for PostgreSQL while it is in doubt whether something was committed. Then it is not available: what
waits is tried again whole, under the same keys, before the shortest limit of a step's attempt (30 s) ends the step.
"""

HELD_S: Final = 0.5
"""When a queued write that could not be committed is tried again."""

CLOSE_S: Final = 30.0
"""How long ``close`` waits for what is under way."""

_EXPECTED: Final = (PlatformError, ValueError, TypeError, OverflowError, LookupError, *RAISED)
"""What the database, or an operation's own data, can raise; anything else is a defect and ends the writer."""


class _Done:
    """What a transaction left: each request's answers, the events it stored, whether it let go of a hold."""

    __slots__ = ("answers", "headers", "released", "witness")

    def __init__(self, requests: Sequence[Request], answers: tuple[object, ...], scribe: Scribe) -> None:
        self.answers: list[tuple[object, ...]] = []
        at = 0
        for request in requests:
            self.answers.append(answers[at : at + len(request.ops)])
            at += len(request.ops)
        self.headers = scribe.headers
        self.released = scribe.released
        self.witness: Witness | None = None


class _Doubt(Exception):
    """The connection went while ``done`` was being committed; None: within one call that may be made again."""

    def __init__(self, done: _Done | None, cause: Exception) -> None:
        super().__init__()
        self.done = done
        self.cause = cause


def _doubted(connection: Connection, done: _Done | None, error: Exception) -> Exception:
    """Return what to raise: a doubt, where the connection is gone or has not answered in time (it is given up)."""
    if not lost(error) and not isinstance(error, TimeoutError):
        return error
    connection.terminate()
    return _Doubt(done, error)


async def _stood(connection: Connection, doubt: _Doubt) -> _Done | None:
    """Return what came of what was in doubt, where it took effect; a call is made again to find out."""
    done = doubt.done
    return done if done is not None and done.witness is not None and await stands(connection, done.witness) else None


def _fed(batch: Sequence[Request]) -> set[Key]:
    """Return the tasks whose journals these requests add to."""
    return {(op.tenant, op.task) for one in batch for op in one.ops if type(op) is AppendOutcome}


class PostgresWriter:
    """See ``Writer``. Bound to the event loop that it was made on; ``close`` commits what waits and ends."""

    def __init__(self, pool: Pool, ids: Ids, bodies: Bodies | None = None) -> None:
        self._pool = pool
        self._ids = ids
        self._bodies = bodies
        self._herald = Herald(pool)
        self._loop = asyncio.get_running_loop()
        self._lanes = Lanes()
        self._serving: set[asyncio.Task[None]] = set()
        self._held: dict[Request, tuple[PlatformError, asyncio.TimerHandle]] = {}
        self._doubtful: set[Key] = set()
        self._changed = asyncio.Event()
        self._closed: StorageError | None = None
        self._commit_listeners: list[Callable[[Sequence[EventHeader]], None]] = []
        self._release_listeners: list[Callable[[], None]] = []

    async def commit(self, *ops: Op) -> tuple[object, ...]:
        """See ``Writer.commit``. The wait is bounded by the deadlines of connections and statements."""
        if self._lanes.open >= MOST_WAITING:
            await self._room()
        future: asyncio.Future[tuple[object, ...]] = self._loop.create_future()
        self._gather(ops, future)
        return await future

    def queue(self, *ops: Op) -> None:
        """See ``Writer.queue``; StorageUnavailable where too much waits already."""
        if self._lanes.open >= MOST_WAITING:
            raise StorageUnavailable("too many writes wait for PostgreSQL; try again when it has caught up")
        self._gather(ops, None)

    def on_commit(self, listener: Callable[[Sequence[EventHeader]], None]) -> Callable[[], None]:
        """See ``Writer.on_commit``: of this process's own commits."""
        self._commit_listeners.append(listener)
        return lambda: self._commit_listeners.remove(listener)

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See ``Writer.on_release``."""
        self._release_listeners.append(listener)
        return lambda: self._release_listeners.remove(listener)

    def tell_released(self) -> None:
        """Tell who listens that a hold was let go, by this process or by another."""
        for listener in tuple(self._release_listeners):
            listener()

    async def close(self) -> None:
        """Commit what waits. Raises the error of a queued write that could not be committed to the last."""
        for held in tuple(self._held):
            self._retry(held)
        deadline = self._loop.time() + CLOSE_S
        while self._serving and self._loop.time() < deadline:
            await asyncio.wait(self._serving, timeout=deadline - self._loop.time())
        self._closed = self._closed or StorageUnavailable("storage is closed; open it again")
        for task in tuple(self._serving):
            task.cancel()
        await self._herald.close()
        left = tuple(self._held.values())
        self._held.clear()
        for _, timer in left:
            timer.cancel()
        if left:
            raise left[0][0]

    async def _room(self) -> None:
        try:
            async with asyncio.timeout(ROOM_S):
                while self._lanes.open >= MOST_WAITING:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise StorageUnavailable("too many writes wait for PostgreSQL; try again when it has caught up") from None

    def _gather(self, ops: tuple[Op, ...], future: "asyncio.Future[tuple[object, ...]] | None") -> None:
        if self._closed is not None:
            raise self._closed
        request = Request(ops, [self._ids() for op in ops if type(op) is AppendEvent], future)
        if self._lanes.add(request):
            self._start(request)

    def _start(self, head: Request) -> None:
        if self._closed is not None:
            self._loop.call_soon(self._refuse, head, self._closed)
            return
        task = self._loop.create_task(self._serve(head))
        self._serving.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: "asyncio.Task[None]") -> None:
        self._serving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._closed = self._closed or StorageError("the storage writer has died; see the log and start again")
            self._loop.call_exception_handler({"message": str(self._closed), "exception": error, "task": task})

    async def _serve(self, head: Request) -> None:
        """Run a request, and what may go with it, to its end; what it could not commit is told or held."""
        batch: list[Request] = []
        try:
            done = await self._commit(batch, head)
        except _EXPECTED as error:
            failure = storage_error(error)
            batch = batch or self._lanes.take(head, BATCH)
            if len(batch) > 1 and not failure.retryable:
                await self._one_by_one(batch)
            else:
                self._failed(batch, failure)
        except BaseException as error:
            self._failed(batch or [head], StorageError(f"the storage writer has died: {error!r}; start again"))
            raise
        else:
            self._deliver(batch, done)

    async def _one_by_one(self, batch: Sequence[Request]) -> None:
        """After one of them failed and nothing was committed: run each in a transaction of its own."""
        for at, request in enumerate(batch):
            try:
                done = await self._commit([request])
            except _EXPECTED as error:
                failure = storage_error(error)
                if failure.retryable or request.future is None:
                    self._failed(batch[at:], failure)
                    return
                self._failed([request], failure)
            else:
                self._deliver([request], done)

    async def _commit(self, batch: list[Request], head: Request | None = None) -> _Done:
        """Commit requests in one transaction, again where that may help; raise what the last attempt raised.

        With a ``head`` the batch is filled with what may go with it, once there is a connection. While it is in doubt
        whether a transaction took effect, PostgreSQL is waited for longer; where that is not found out, the rows of a
        journal that come next may be the same.
        """
        attempt = 1
        doubt: _Doubt | None = None
        patience = self._loop.time()
        while True:
            try:
                async with self._pool.connection() as connection:
                    if head is not None and not batch:
                        batch += self._lanes.take(head, BATCH)
                    stood = None if doubt is None else await _stood(connection, doubt)
                    if stood is not None:
                        return stood
                    fed = _fed(batch)
                    again = doubt is not None or not self._doubtful.isdisjoint(fed)
                    done = await self._transact(connection, batch, again=again)
                    self._doubtful -= fed
                    return done
            except _Doubt as found:
                if found.done is not None and found.done.witness is None:
                    self._doubtful |= _fed(batch)
                    raise found.cause from found  # nothing tells whether it stands
                patience = patience if doubt is not None else self._loop.time() + DOUBT_S
                doubt = found
            except (StorageUnavailable, *RAISED) as error:
                if doubt is not None and self._loop.time() < patience:
                    await asyncio.sleep(HELD_S)
                elif doubt is not None:
                    self._doubtful |= _fed(batch)
                    raise
                elif attempt >= ATTEMPTS or not (in_the_way(error) or lost(error)):
                    raise
                attempt += 1

    async def _transact(self, connection: Connection, requests: Sequence[Request], *, again: bool) -> _Done:
        scribe = Scribe(connection, chain.from_iterable(one.ids for one in requests), self._bodies, again=again)
        ops = [op for one in requests for op in one.ops]
        moved = move(ops)
        if moved is not None:
            try:
                return _Done(requests, await advance(scribe, moved, ops), scribe)
            except RAISED as error:
                raise _doubted(connection, None, error) from error
        if len(ops) == 1 and isinstance(ops[0], REPEATABLE):
            return _Done(requests, await perform(scribe, ops), scribe)
        try:
            await connection.execute("BEGIN")
            answers = await perform(scribe, ops)
        except _EXPECTED:
            if not connection.is_closed():
                with suppress(*RAISED):
                    await connection.execute("ROLLBACK")
            raise
        done = _Done(requests, answers, scribe)
        done.witness = witness(scribe.headers, ops, answers)
        try:
            await connection.execute("COMMIT")
        except RAISED as error:
            raise _doubted(connection, done, error) from error
        return done

    def _deliver(self, batch: Sequence[Request], done: _Done) -> None:
        for request, answer in zip(batch, done.answers, strict=True):
            if request.future is not None and not request.future.done():
                request.future.set_result(answer)
            self._finish(request)
        if done.headers:
            self._herald.tell(done.headers)
            for listener in tuple(self._commit_listeners):
                listener(done.headers)
        if done.released:
            self.tell_released()

    def _finish(self, request: Request) -> None:
        for behind in self._lanes.finish(request):
            self._start(behind)
        self._changed.set()

    def _failed(self, batch: Sequence[Request], error: PlatformError) -> None:
        """Tell who waits; hold what was queued, or end the writer where trying it again cannot help."""
        queued = [one for one in batch if one.future is None]
        if queued and not error.retryable:
            self._closed = self._closed or StorageError(
                f"a queued write failed, so storage takes no more: {error}; see the log, restart"
            )
            error = self._closed
        for one in batch:
            if one.future is not None or not error.retryable:
                self._refuse(one, error)
        if queued and error.retryable:
            for one in queued[1:]:
                one.running = False
            self._hold(queued[0], error)

    def _refuse(self, request: Request, error: PlatformError) -> None:
        if request.future is not None and not request.future.done():
            request.future.set_exception(error)
        self._finish(request)

    def _hold(self, held: Request, error: PlatformError) -> None:
        """Try a queued request again in a while; what waits for it to be committed learns that it is not."""
        self._held[held] = (error, self._loop.call_later(HELD_S, self._retry, held))
        for behind in self._lanes.blocked_by(held):
            self._refuse(behind, error)

    def _retry(self, held: Request) -> None:
        _, timer = self._held.pop(held)
        timer.cancel()
        self._start(held)
