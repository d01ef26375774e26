"""Which attempts of a step took their process with them: counted from the events, as every process sees them."""

from typing import Final

import msgspec

from multiagent.core.events import Event, EventKind
from multiagent.core.facts import StepBegun
from multiagent.engines.attempt import Work
from multiagent.storage.sql.base import Reader

_PAGE: Final = 1000
_BEGUN: Final = msgspec.json.Decoder(StepBegun)


async def deaths_of(reader: Reader, work: Work) -> tuple[int, bool]:
    """Count the attempts of a step that began and never ended, and tell whether the last one ran alone.

    A lease alone proves nothing: a step may have waited for its turn, or been stopped in good order.
    """
    begun: dict[int, bool] = {}
    ended: set[int] = set()
    after = 0
    while page := await reader.events(work.tenant, work.task, after, _PAGE):
        for event in page:
            _note(work.key, event, begun, ended)
        after = page[-1].header.seq
    lost = sorted(set(begun) - ended)
    return len(lost), bool(lost) and begun[lost[-1]]


def _note(key: str, event: Event, begun: dict[int, bool], ended: set[int]) -> None:
    parts = event.header.key.rsplit("/", 3)
    if len(parts) != 4 or parts[0] != key or not parts[1].isdigit():
        return
    if event.header.kind is EventKind.STEP_STARTED:
        begun[int(parts[1])] = bool(event.payload) and _BEGUN.decode(event.payload).alone
    elif event.header.kind in (EventKind.STEP_COMPLETED, EventKind.STEP_FAILED):
        ended.add(int(parts[1]))
