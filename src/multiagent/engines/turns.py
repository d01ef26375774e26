"""Who may run now: steps run side by side, but a suspect one, which may have taken its process down, runs alone."""

import asyncio
from collections import deque


class Turns:
    """Many at once, or one alone; suspects wait for those that run, newcomers wait for suspects, first come first."""

    def __init__(self) -> None:
        self._running = 0
        self._alone = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    def try_enter(self) -> bool:
        """Enter side by side, where nobody is alone or waits to be."""
        if self._alone or self._waiting:
            return False
        self._running += 1
        return True

    async def enter(self, *, alone: bool) -> None:
        """Wait for the turn; the waits ahead are bounded by their steps' deadlines."""
        if not alone and self.try_enter():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((alone, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(alone=alone)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._admit()
            raise

    def leave(self, *, alone: bool) -> None:
        """Make room."""
        if alone:
            self._alone = False
        else:
            self._running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and not self._alone:
            alone, turn = self._waiting[0]
            if alone and self._running:
                return
            self._waiting.popleft()
            if turn.done():
                continue
            if alone:
                self._alone = True
            else:
                self._running += 1
            turn.set_result(None)
