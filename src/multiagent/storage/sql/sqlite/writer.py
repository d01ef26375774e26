"""The one writer: a thread that commits what the event loop hands it, many requests in one transaction.

Each request runs in a savepoint of its own, so one that fails rolls back alone; the answers of a batch come back to
the event loop in one call.
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
from multiagent.storage.sql.ops import AppendEvent, Op
from multiagent.storage.sql.sqlite.connect import BUSY_MS, Synchronous, open_writable
from multiagent.storage.sql.sqlite.faults import storage_error
from multiagent.storage.sql.sqlite.handlers import HANDLERS
from multiagent.storage.sql.sqlite.scribe import Scribe

Ts = TypeVarTuple("Ts")

MOST_WAITING: Final = 10_000
"""Requests that may wait for the writer; above, ``commit`` waits for room and ``queue`` is refused."""

BATCH: Final = 256
"""Requests in one transaction, at the most."""

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

    __slots__ = ("headers", "released", "requests")

    def __init__(self, requests: list[_Request]) -> None:
        self.requests = requests
        self.headers: list[EventHeader] = []
        self.released = False


class SqliteWriter:
    """See ``Writer``. Made by ``open`` on the event loop that will use it; ``close`` commits what waits and ends."""

    def __init__(self, path: Path, connection: sqlite3.Connection, ids: Ids) -> None:
        self._path = path
        self._connection = connection
        self._scribe = Scribe(connection)
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Request] = []
        self._inbox: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._room: asyncio.Event | None = None
        self._closed: StorageError | None = None
        self._ended = self._loop.create_future()
        self._commit_listeners: list[Callable[[Sequence[EventHeader]], None]] = []
        self._release_listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._main, name="storage-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls, path: Path, ids: Ids, synchronous: Synchronous = "FULL", busy_ms: int = BUSY_MS
    ) -> "SqliteWriter":
        """Open the database (see ``open_writable`` for what it raises) and start the thread."""
        return cls(path, open_writable(path, synchronous, busy_ms), ids)

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
        """Commit what waits, end the thread, close the file."""
        self._flush()
        if self._closed is None:
            self._closed = StorageUnavailable("storage is closed; open it again")
            self._inbox.put(None)
        await asyncio.shield(self._ended)

    def _gather(self, ops: tuple[Op, ...], future: "asyncio.Future[tuple[object, ...]] | None") -> None:
        if self._closed is not None:
            raise self._closed
        ids = [self._ids() for op in ops if type(op) is AppendEvent]
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(_Request(ops, ids, future))
        self._waiting += 1

    def _flush(self) -> None:
        """Hand over, with one wake-up of the thread, all that this turn of the event loop brought."""
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
        if self._room is not None and self._waiting < MOST_WAITING:
            self._room.set()
            self._room = None
        for request in done.requests:
            if request.future is None:
                self._answer_nobody(request)
            elif not request.future.done():
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

    def _answer_nobody(self, request: _Request) -> None:
        if request.error is not None and self._closed is None:
            self._closed = StorageError(f"a queued write failed, storage is closed: {request.error}")

    # In the thread, from here on.

    def _main(self) -> None:
        try:
            ending = False
            while not ending:
                batch, ending = self._next_batch()
                for start in range(0, len(batch), BATCH):
                    self._serve(batch[start : start + BATCH])
        finally:
            self._connection.close()
            self._call(self._end)

    def _end(self) -> None:
        if self._closed is None:
            self._closed = StorageError("the storage writer has died; see the log and start again")
        if not self._ended.done():
            self._ended.set_result(None)

    def _next_batch(self) -> tuple[list[_Request], bool]:
        batch = self._inbox.get()
        if batch is None:
            return [], True
        while not self._inbox.empty():
            more = self._inbox.get()
            if more is None:
                return batch, True
            batch += more
        return batch, False

    def _serve(self, batch: list[_Request]) -> None:
        done = _Done(batch)
        if not self._transact(batch, done) and len(batch) > 1:
            for request in batch:
                self._transact([request], done)
        self._scribe.trim()
        self._call(self._deliver, done)

    def _transact(self, batch: list[_Request], done: "_Done") -> bool:
        """Commit a batch; where the transaction itself is lost, note its error at each request and return False."""
        scribe = self._scribe
        try:
            scribe.begin()
            if len(batch) == 1:
                self._attempt(batch[0])
            else:
                for request in batch:
                    scribe.change("SAVEPOINT request")
                    if not self._attempt(request):
                        scribe.change("ROLLBACK TO request")
                    scribe.change("RELEASE request")
            if len(batch) == 1 and batch[0].error is not None:
                scribe.change("ROLLBACK")
            else:
                scribe.commit()
        except sqlite3.Error as error:
            self._give_up(batch, storage_error(error, self._path))
            return False
        done.headers += scribe.headers
        done.released = done.released or scribe.released
        return True

    def _attempt(self, request: _Request) -> bool:
        """Run a request's operations; note their answers or their error, and return whether they succeeded.

        Raises sqlite3.Error where SQLite gave up the whole transaction (as it does on a full disk).
        """
        scribe = self._scribe
        kept = len(scribe.headers)
        scribe.ids = iter(request.ids)
        request.error = None
        try:
            request.answer = tuple([HANDLERS[type(op)](scribe, op) for op in request.ops])
        except _EXPECTED as error:
            scribe.forget()
            del scribe.headers[kept:]
            request.error = error if isinstance(error, PlatformError) else storage_error(error, self._path)
            if not self._connection.in_transaction:
                raise
            return False
        return True

    def _give_up(self, batch: list[_Request], failure: StorageError) -> None:
        if self._connection.in_transaction:
            self._connection.rollback()
        self._scribe.forget()
        for request in batch:
            request.error = failure

    def _call(self, function: "Callable[[*Ts], object]", *arguments: "*Ts") -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
