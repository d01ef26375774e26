"""A pool of worker processes, at most ``size`` at work, one more kept warm, and a bounded queue before them."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from pathlib import Path

from multiagent.core.errors import SandboxBusy, SandboxCrashed, SandboxError
from multiagent.sandbox.process import Worker

START_TIMEOUT_S = 30.0
# A worker is replaced after so many runs, whatever it has leaked by then goes with it.
MAX_RUNS = 2_000


class Pool:
    """Leases workers. Everything runs on one event loop; ``close`` must be awaited on it."""

    def __init__(self, artifact: Path, *, size: int, spare: int = 1, max_waiting: int = 64) -> None:
        self._artifact = artifact
        self._size = size
        self._spare = spare
        self._max_waiting = max_waiting
        self._idle: deque[Worker] = deque()
        self._born: set[Worker] = set()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._leased: set[Worker] = set()
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def leased(self) -> frozenset[Worker]:
        """The workers that run something now."""
        return frozenset(self._leased)

    @property
    def idle(self) -> tuple[Worker, ...]:
        """The workers that wait for a program."""
        return tuple(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for a worker."""
        return len(self._waiting)

    async def lease(self, timeout_s: float) -> Worker:
        """Return a warm worker for this caller alone; give it back with ``release``.

        Raises SandboxBusy if the queue is full, or no worker is free in ``timeout_s``; SandboxCrashed if none starts.
        """
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if len(self._waiting) >= self._max_waiting:
            raise SandboxBusy(f"{self._max_waiting} programs wait for the sandbox already; try again later")
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._dispatch()
        if turn.done():
            return turn.result()
        try:
            async with asyncio.timeout(timeout_s):
                return await turn
        except BaseException as error:
            self._leave(turn)
            if isinstance(error, TimeoutError):
                raise SandboxBusy(f"no sandbox worker became free in {timeout_s:g} s; try again later") from None
            raise

    def release(self, worker: Worker, *, healthy: bool) -> None:
        """Give a worker back; an unhealthy or worn one is ended and replaced."""
        self._leased.discard(worker)
        if healthy and worker.alive and worker.runs < MAX_RUNS and not self._closed:
            self._idle.append(worker)
        elif not self._closed:
            worker.kill()
            self._spawn(worker.close())
        self._dispatch()

    def warm(self) -> None:
        """Begin to start the workers that will be wanted first."""
        self._dispatch()

    async def close(self) -> None:
        """End all workers and wait until they are gone; who waits or runs gets an error."""
        self._closed = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(SandboxError("the sandbox was closed"))
        self._waiting.clear()
        for worker in self._born:
            worker.kill()
        for worker in (*self._idle, *self._leased):
            self._spawn(worker.close())
        self._idle.clear()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _leave(self, turn: "asyncio.Future[Worker]") -> None:
        """Take a caller out of the queue; a worker that came too late for it goes to the next."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self.release(turn.result(), healthy=True)

    def _dispatch(self) -> None:
        """Hand idle workers to those who wait, and start what is missing."""
        while self._idle and self._waiting and len(self._leased) < self._size:
            turn = self._waiting.popleft()
            if turn.done():
                continue
            worker = self._idle.popleft()
            if not worker.alive:
                self._waiting.appendleft(turn)
                self._spawn(worker.close())
                continue
            self._leased.add(worker)
            turn.set_result(worker)
        wanted = min(self._size, len(self._leased) + len(self._waiting)) + self._spare
        present = len(self._leased) + len(self._idle) + self._starting
        for _ in range(0 if self._closed else wanted - present):
            self._starting += 1
            self._spawn(self._start())

    async def _start(self) -> None:
        worker = None
        try:
            worker = await Worker.start(self._artifact)
            self._born.add(worker)
            if self._closed:
                worker.kill()
            await worker.ready(START_TIMEOUT_S)
        except SandboxCrashed as error:
            if worker is not None:
                await worker.close()
            self._fail_next(error)
            return
        finally:
            self._starting -= 1
            if worker is not None:
                self._born.discard(worker)
        if self._closed:
            await worker.close()
            return
        self._idle.append(worker)
        self._dispatch()

    def _fail_next(self, error: SandboxCrashed) -> None:
        """Tell one waiting caller that no worker starts; the next lease tries again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
                return

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
