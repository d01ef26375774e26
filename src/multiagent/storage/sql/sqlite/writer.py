"""The one writer: a thread that commits what the event loop hands it, many requests in one transaction.

A request that fails rolls back alone: a batch in which one fails is run again with a savepoint for each. The answers
of a batch come back to the event loop in one call.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVarTuple

from multiagent.core.errors import PlatformError, StorageError, StorageUnavailable
from multiagent.core.events import EventHeader
from multiagent.core.ids import Ids
from multiagent.storage.objects.base import Bodies
from multiagent.storage.sql.ops import AppendEvent, Op
from multiagent.storage.sql.sqlite.connect import BUSY_MS, Synchronous, open_writable
from multiagent.storage.sql.sqlite.faults import storage_error
from multiagent.storage.sql.sqlite.handlers import perform
from multiagent.storage.sql.sqlite.scribe import Scribe

Ts = TypeVarTuple("Ts")

MOST_WAITING: Final = 10_000
"""Requests that may wait for the writer; above, ``commit`` waits for room and ``queue`` is refused."""

BATCH: Final = 256
"""Requests in one transaction, at the most."""

QUEUED_S: Final = 0.005
"""How long queued writes wait for a commit to go with."""

IDLE_S: Final = 1.0
"""When nothing came for so long, queued writes that met a full disk are tried again, and the log is filled."""

_EXPECTED: Final = (PlatformError, sqlite3.Error, ValueError, TypeError, OverflowError, LookupError)
"""What an operation's own data can raise; anything else is a defect and ends the writer."""


class _Request:
    """Operations that stand or fall together, and who waits for them (nobody: queued)."""

    __slots__ = ("answer", "error", "future", "ids", "ops")

    def __init__(
        self, ops: tuple[Op, ...], ids: list[str], future: "asyncio.Future[tuple[object, ...]] | None"
    ) -> None:
        self.ops = ops
        self.ids = ids
        self.future = future
        self.answer: tuple[object, ...] = ()
        self.error: Exception | None = None


class _Done:
    """What the thread has to tell of a batch."""

    __slots__ = ("broken", "headers", "released", "requests")

    def __init__(self) -> None:
        self.requests: list[_Request] = []
        self.headers: list[EventHeader] = []
        self.released = False
        self.broken: StorageError | None = None


class SqliteWriter:
    """See ``Writer``. Made by ``open`` on the event loop that will use it; ``close`` commits what waits and ends."""

    def __init__(self, path: Path, connection: sqlite3.Connection, ids: Ids, bodies: Bodies | None) -> None:
        self._path = path
        self._connection = connection
        self._scribe = Scribe(connection, bodies)
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Request] = []
        self._inbox: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._ending = False
        self._held: list[_Request] = []
        self._broken: StorageError | None = None
        self._room: asyncio.Event | None = None
        self._closed: StorageError | None = None
        self._ended = self._loop.create_future()
        self._commit_listeners: list[Callable[[Sequence[EventHeader]], None]] = []
        self._release_listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._main, name="storage-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        ids: Ids,
        synchronous: Synchronous = "FULL",
        *,
        bodies: Bodies | None = None,
        busy_ms: int = BUSY_MS,
    ) -> "SqliteWriter":
        """Open the database (see ``open_writable`` for what it raises) and start the thread.

        Large bodies go to ``bodies``; without it they stay in their rows.
        """
        return cls(path, open_writable(path, synchronous, busy_ms), ids, bodies)

    async def commit(self, *ops: Op) -> tuple[object, ...]:
        """See ``Writer.commit``. The wait is bounded by SQLite's own lock deadline."""
        if self._waiting >= MOST_WAITING:
            await self._wait_for_room()
        future: asyncio.Future[tuple[object, ...]] = self._loop.create_future()
        self._gather(ops, future)
        return await future

    def queue(self, *ops: Op) -> None:
        """See ``Writer.queue``; StorageUnavailable where too much waits already."""
        if self._waiting >= MOST_WAITING:
            raise StorageUnavailable("too many writes wait for the disk; try again when it has caught up")
        self._gather(ops, None)

    def on_commit(self, listener: Callable[[Sequence[EventHeader]], None]) -> Callable[[], None]:
        """See ``Writer.on_commit``."""
        self._commit_listeners.append(listener)
        return lambda: self._commit_listeners.remove(listener)

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See ``Writer.on_release``."""
        self._release_listeners.append(listener)
        return lambda: self._release_listeners.remove(listener)

    async def close(self) -> None:
        """Commit what waits, end the thread, close the file.

        Raises the error of a queued write that could not be committed to the last.
        """
        self._flush()
        if not self._ending:
            self._ending = True
            self._inbox.put(None)
        await asyncio.shield(self._ended)
        self._thread.join(timeout=1.0)  # it has said that it is ending
        if self._held and self._held[0].error is not None:
            raise self._held[0].error

    def _gather(self, ops: tuple[Op, ...], future: "asyncio.Future[tuple[object, ...]] | None") -> None:
        if self._closed is not None:
            raise self._closed
        if self._ending:
            raise StorageUnavailable("storage is closed; open it again")
        ids = [self._ids() for op in ops if type(op) is AppendEvent]
        if future is not None and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        elif future is None and not self._gathered:
            self._timer = self._loop.call_later(QUEUED_S, self._flush)
        self._gathered.append(_Request(ops, ids, future))
        self._waiting += 1

    def _flush(self) -> None:
        """Hand over, with one wake-up of the thread, all that this turn of the event loop brought."""
        self._flushing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathered:
            self._inbox.put(self._gathered)
            self._gathered = []

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = asyncio.Event()
        try:
            async with asyncio.timeout(BUSY_MS / 1000):
                await self._room.wait()
        except TimeoutError:
            raise StorageUnavailable("too many writes wait for the disk; try again when it has caught up") from None

    def _deliver(self, done: "_Done") -> None:
        self._waiting -= len(done.requests)
        self._closed = self._closed or done.broken
        if self._room is not None and self._waiting < MOST_WAITING:
            self._room.set()
            self._room = None
        for request in done.requests:
            if request.future is not None and not request.future.done():
                if request.error is None:
                    request.future.set_result(request.answer)
                else:
                    request.future.set_exception(request.error)
        if done.headers:
            for listener in tuple(self._commit_listeners):
                listener(done.headers)
        if done.released:
            for on_release in tuple(self._release_listeners):
                on_release()

    def _end(self, unserved: list[_Request]) -> None:
        """Note that the thread has ended; where it died, nobody may wait for it for ever."""
        if not self._ending:
            self._closed = self._closed or StorageError("the storage writer has died; see the log and start again")
            self._flush()
            while not self._inbox.empty():
                unserved += self._inbox.get() or []
            for request in unserved:
                if request.future is not None and not request.future.done():
                    request.future.set_exception(self._closed)
        if not self._ended.done():
            self._ended.set_result(None)

    # In the thread, from here on.

    def _main(self) -> None:
        unserved: list[_Request] = []
        try:
            ending = False
            while not ending:
                unserved, ending = self._next_batch()
                idle = not unserved
                while unserved:
                    self._serve(self._held + unserved[:BATCH])
                    del unserved[:BATCH]
                if (idle or ending) and (self._held or self._scribe.unlogged):
                    self._scribe.log_now = True
                    self._serve(self._held)
        finally:
            self._connection.close()
            self._call(self._end, unserved)

    def _next_batch(self) -> tuple[list[_Request], bool]:
        """Return all that waits, and whether it is the last; nothing where it is time for what was put off."""
        batch: list[_Request] = []
        try:
            more = self._inbox.get(timeout=IDLE_S if self._held or self._scribe.unlogged else None)
            while more is not None:
                batch += more
                more = self._inbox.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _serve(self, batch: list[_Request]) -> None:
        done = _Done()
        self._held = []
        if self._broken is not None:
            for request in batch:
                request.error = self._broken
        elif not self._transact(batch, done, self._plainly):
            self._again(batch, done)
        self._scribe.log_now = False
        self._scribe.trim()
        done.requests = [one for one in batch if one not in self._held] if self._held else batch
        done.broken = self._broken
        self._call(self._deliver, done)

    def _again(self, batch: list[_Request], done: "_Done") -> None:
        """After a request failed and nothing was committed: run the others, each in its savepoint."""
        if len(batch) < 2 or isinstance(batch[0].error, StorageUnavailable):
            if any(one.future is None for one in batch):
                self._stop(batch, batch[0].error)
        elif not self._transact(batch, done, self._saving):
            self._one_by_one(batch, done)

    def _one_by_one(self, batch: list[_Request], done: "_Done") -> None:
        """Run each request in a transaction of its own; stop where a queued one fails, as later ones build on it."""
        for position, request in enumerate(batch):
            if not self._transact([request], done, self._plainly) and request.future is None:
                self._stop(batch[position:], request.error)
                return

    def _stop(self, rest: list[_Request], error: Exception | None) -> None:
        if isinstance(error, PlatformError) and error.retryable:
            self._held = [one for one in rest if one.future is None]
        else:
            self._broken = StorageError(
                f"a queued write failed, so storage takes no more: {error}; see the log, restart"
            )
            error = self._broken
        for one in rest:
            one.error = error

    def _transact(self, batch: list[_Request], done: "_Done", attempt: Callable[[list[_Request]], bool]) -> bool:
        """Commit a batch, less the requests that fail; note every answer and error.

        Returns False where nothing was committed: the attempt said so, or the transaction was lost.
        """
        scribe = self._scribe
        try:
            scribe.begin()
            if not attempt(batch):
                scribe.change("ROLLBACK")
                return False
            scribe.commit()
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            scribe.forget()
            failure = storage_error(error, self._path)
            for request in batch:
                request.error = failure
            return False
        done.headers += scribe.headers
        done.released = done.released or scribe.released
        return True

    def _plainly(self, batch: list[_Request]) -> bool:
        """Attempt all; return False at the first that fails. Savepoints would cost each what few need."""
        return all(map(self._attempt, batch))

    def _saving(self, batch: list[_Request]) -> bool:
        """Attempt each in its savepoint; return False where a queued one failed."""
        change = self._scribe.change
        for request in batch:
            change("SAVEPOINT request")
            if not self._attempt(request):
                if request.future is None:
                    return False
                change("ROLLBACK TO request")
            change("RELEASE request")
        return True

    def _attempt(self, request: _Request) -> bool:
        """Run a request's operations; note their answers or their error, and return whether they succeeded.

        Raises sqlite3.Error where SQLite gave up the whole transaction (as it does on a full disk).
        """
        scribe = self._scribe
        kept, copied = len(scribe.headers), len(scribe.copied)
        scribe.ids = iter(request.ids)
        request.error = None
        try:
            request.answer = tuple([perform(scribe, op) for op in request.ops])
        except _EXPECTED as error:
            if not self._connection.in_transaction:
                raise
            scribe.forget()
            del scribe.headers[kept:], scribe.copied[copied:]
            request.error = error if isinstance(error, PlatformError) else storage_error(error, self._path)
            return False
        return True

    def _call(self, function: Callable[[*Ts], object], *arguments: *Ts) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
