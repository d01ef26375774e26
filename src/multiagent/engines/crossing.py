"""A fork's first moment, pure: the parent's rows fed to a fresh kernel, then what makes it a run of its own.

The fork's journal has the parent's rows before the cut's own, then a ``settings`` row: here a fork begins; then
the cut's own outcome, so that what it leads to has the fork's settings and chance already.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from multiagent.core.outcome import Failure, Outcome
from multiagent.core.settings import TaskSettings
from multiagent.engines.actions import RunStep, Yielded
from multiagent.engines.base import Workflow
from multiagent.engines.kernel import FORK, Kernel, Value, encode
from multiagent.engines.replay import Start, replay_before, value_of


class Cut(msgspec.Struct, frozen=True):
    """A run that stands just before the outcome that it will be cut at; ``step`` is that outcome's, where it is one's.

    ``led_here`` is what the run yielded since the row before: it is recorded with the fork's row.
    """

    kernel: Kernel
    own: Outcome
    led_here: Yielded
    value: Value
    step: RunStep | None

    @property
    def in_flight(self) -> tuple[str, ...]:
        """The keys of the steps that were asked for and not answered by then: they run again."""
        steps = (one for one in self.kernel.pending() if isinstance(one, RunStep))
        return tuple(one.key for one in steps if one.id != self.own.key)


class Crossed(msgspec.Struct, frozen=True):
    """A fork that has been cut: its two first own rows, and what each led to, in order."""

    kernel: Kernel
    fork: Outcome
    led_to: Yielded
    own: Outcome
    tail: Yielded


def rows_to(journal: Sequence[Outcome], cut: int) -> Sequence[Outcome]:
    """Return the rows that a fork at a cut takes over: never the end, never an earlier fork's beginning without the
    outcome that belongs to it.
    """
    if cut and journal[cut - 1].kind == "end":
        cut -= 1
    while cut and journal[cut - 1].key.startswith(FORK):
        cut += 1
    return journal[:cut]


def approach(
    workflow: Workflow[Any, Any], start: Start, rows: Sequence[Outcome], results: Mapping[str, bytes | Failure]
) -> Cut:
    """Feed the rows up to a cut, its own (the last one) not yet. NonDeterminism where today's code drifts."""
    kernel, led_here = replay_before(workflow, start, rows, results)
    own = rows[-1]
    step = kernel.steps[own.key].action if own.key in kernel.steps else None
    return Cut(kernel, own, led_here, value_of(own, results), step)


def cross(cut: Cut, fork: str, settings: TaskSettings | None, now: int) -> Crossed:
    """Become the fork of that id at that time (ms UTC), and take the cut's own outcome. ``cut``'s kernel moves on."""
    kernel, own = cut.kernel, cut.own
    carried = encode(settings if settings is not None else kernel.settings)
    first = Outcome(own.n, "settings", f"{FORK}{fork}", own.time, carried, cut.led_here.digest)
    kernel.live = True
    kernel.feed(first)
    led_to = kernel.take()
    second = Outcome(own.n + 1, own.kind, own.key, max(now, own.time), own.value, led_to.digest)
    kernel.feed(second, cut.value)
    tail = kernel.take()
    return Crossed(
        kernel,
        msgspec.structs.replace(first, patches=led_to.patches),
        led_to,
        msgspec.structs.replace(second, patches=own.patches + tail.patches),
        tail,
    )
