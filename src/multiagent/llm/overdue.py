"""Reservations that nobody will settle any more: their process died, and their step was not tried again."""

import logging
from typing import Final

from multiagent.core.clock import Clock
from multiagent.core.errors import PlatformError
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.ops import Lose

LOOK_S: Final = 30.0
"""How often they are looked for."""
GRACE_MS: Final = 60_000
"""So long past its deadline a call may still be being settled by a process that lives."""

_log = logging.getLogger("multiagent.gate")


async def lose_overdue(writer: Writer, reader: Reader, clock: Clock) -> int:
    """Count in full what is held past its deadline, so that it holds up nobody; return how many reservations.

    A settle that comes later all the same replaces it. Raises StorageError's children.
    """
    lost = 0
    while found := await reader.overdue(clock.now() - GRACE_MS):
        answers = [
            await writer.commit(Lose(tenant=tenant, reservation=name, time=clock.now())) for tenant, name in found
        ]
        lost += sum(answer == (True,) for answer in answers)
    return lost


async def watch_overdue(writer: Writer, reader: Reader, clock: Clock) -> None:
    """Do so from time to time, for ever."""
    while True:
        try:
            if lost := await lose_overdue(writer, reader, clock):
                _log.warning("%d reservations were held past their deadline; they count as lost", lost)
        except PlatformError as error:
            _log.warning("reservations past their deadline are looked for later: %s", error)
        await clock.sleep(LOOK_S)
