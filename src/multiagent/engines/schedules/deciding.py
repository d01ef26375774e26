"""What a schedule does at a moment: which of its times are run, which wait, when to look again. Pure."""

from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from multiagent.core.schedule import Schedule, Span, State
from multiagent.engines.schedules.times import times, within

MOST_AT_ONCE: Final = 100
"""The most times that are decided in one go; what is left is decided in the next."""
LOOK_MS: Final = 30_000
"""A schedule that waits for the end of a run looks for it so often, should the word of it be lost."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What stands now; whether the runs that go on are to be cancelled; when to decide again (None: when asked)."""

    state: State
    cancel: bool
    wake: int | None


def decide(schedule: Schedule, state: State, now: int, *, busy: bool) -> Decided:
    """Decide on all times that have come by ``now``; ``busy``: a run of the schedule is not at its end.

    What is to be run is put into ``firing`` of the new state.
    """
    due, seen = _due(schedule, state, now)
    waiting = [*state.triggered, *due]
    made = msgspec.structs.replace(state, seen=seen, triggered=())
    made = _admit(schedule, made, waiting, busy=busy or bool(state.firing))
    occupied = busy or bool(made.firing)
    if not occupied and made.buffered is None:
        made = _backfill(schedule, made)
        occupied = bool(made.firing)
    cancel = busy and made.buffered is not None and schedule.overlap == "cancel_other"
    return Decided(made, cancel, _wake(schedule, made, now))


def _due(schedule: Schedule, state: State, now: int) -> tuple[list[int], int]:
    """Return the times to decide on, and up to where that is all; too old ones and those of a pause are passed over."""
    if schedule.paused:
        return [], max(state.seen, now)
    after = max(state.seen, now - schedule.catch_up_s * 1000 - 1)
    due = list(islice(within(schedule, Span(after, now)), MOST_AT_ONCE))
    full = len(due) == MOST_AT_ONCE
    return due, due[-1] if full else max(state.seen, now)


def _admit(schedule: Schedule, state: State, waiting: list[int], *, busy: bool) -> State:
    firing, buffered = list(state.firing), state.buffered
    if schedule.overlap == "allow_all":
        firing += [*([] if buffered is None else [buffered]), *waiting]
        return msgspec.structs.replace(state, firing=tuple(firing), buffered=None)
    if schedule.overlap == "cancel_other" and waiting:
        waiting, buffered = [waiting[-1]], None  # each would cancel the one before it
    if buffered is not None and not busy:
        firing.append(buffered)
        buffered, busy = None, True
    for time in waiting:
        if not busy:
            firing.append(time)
            busy = True
        elif schedule.overlap != "skip" and buffered is None:
            buffered = time
    return msgspec.structs.replace(state, firing=tuple(firing), buffered=buffered)


def _backfill(schedule: Schedule, state: State) -> State:
    """Take the next time that is to be run after all, where there is one."""
    spans = list(state.spans)
    while spans:
        first = spans.pop(0)
        time = next(within(schedule, first), None)
        if time is not None:
            left = (Span(time, first.until), *spans)
            return msgspec.structs.replace(state, firing=(time,), spans=left)
    return msgspec.structs.replace(state, spans=())


def _wake(schedule: Schedule, state: State, now: int) -> int | None:
    upcoming = None if schedule.paused else next(times(schedule, state.seen), None)
    if state.buffered is None and not state.spans:
        return upcoming
    soon = now + LOOK_MS
    return soon if upcoming is None else min(soon, upcoming)
