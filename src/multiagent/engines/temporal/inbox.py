"""What has arrived at a run and waits to be fed, in the order of arrival."""

import asyncio
from collections import deque

import msgspec

from multiagent.core.outcome import OutcomeKind
from multiagent.engines.kernel import Value
from multiagent.engines.temporal.records import Sent


class Arrived(msgspec.Struct, frozen=True):
    """An outcome on its way to the kernel: ``value`` is a step's, ``carried`` a signal's."""

    kind: OutcomeKind
    key: str
    value: Value = None
    carried: bytes = b""


class Inbox:
    """Outcomes that have arrived, and whether somebody waits for the next."""

    def __init__(self) -> None:
        self._waiting: deque[Arrived] = deque()
        self._wake: asyncio.Future[None] | None = None

    def push(self, arrived: Arrived) -> None:
        """Take one, and rouse who waits."""
        self._waiting.append(arrived)
        self.rouse()

    def push_first(self, signals: tuple[Sent, ...]) -> None:
        """Put signals before all that has arrived."""
        self._waiting.extendleft(Arrived("signal", one.key, carried=one.value) for one in reversed(signals))

    def rouse(self) -> None:
        """Rouse who waits, for something that is no outcome."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def pop(self) -> Arrived | None:
        """Return the next one, if any."""
        return self._waiting.popleft() if self._waiting else None

    def signals(self) -> tuple[Sent, ...]:
        """Return the signals that wait."""
        return tuple(Sent(one.key, one.carried) for one in self._waiting if one.kind == "signal")

    async def wait(self, *, whatever_is_there: bool) -> None:
        """Wait until something arrives, or somebody rouses; ``whatever_is_there``: what waits already is enough."""
        if not (whatever_is_there and self._waiting):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._wake = None
