"""Two runs beside each other: plan, steps, results, cost, and where they part. Pure but for ``compare_tasks``."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from multiagent.app.look import look
from multiagent.app.place import Place
from multiagent.app.record import Record
from multiagent.app.travel import AgentMoment, Stop, Walk, tour
from multiagent.core.usage import Bill

Change = Literal["only_a", "only_b", "input", "output", "both"]
POINTERS: Final = 8
"""At most so many places are named where two documents differ."""


class Side(msgspec.Struct, frozen=True):
    """One of the two: how it ended and what it cost; ``parent`` is the task that it is a fork or a retry of."""

    task: str
    status: str
    bill: Bill
    duration_ms: int | None
    outcomes: int
    parent: str = ""
    text: str = ""


class Parting(msgspec.Struct, frozen=True):
    """Where two journals first differ: the number of the outcome, and what each has there (empty: it has ended)."""

    n: int
    a: str
    b: str
    why: str


class PlanChange(msgspec.Struct, frozen=True):
    """An agent task that only one plan has (the other side is None), or that differs."""

    id: str
    a: str | None
    b: str | None


class StepChange(msgspec.Struct, frozen=True):
    """A step that only one run has, or whose input or output differs, and at which places (JSON Pointers, in input
    then in output); costs in pico-dollars.
    """

    key: str
    change: Change
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    a_tokens: int = 0
    b_tokens: int = 0
    a_pico: int = 0
    b_pico: int = 0


class Difference(msgspec.Struct, frozen=True):
    """Everything that differs; ``same`` counts the steps with equal inputs and outputs in both."""

    a: Side
    b: Side
    parts: Parting | None
    plan: tuple[PlanChange, ...]
    steps: tuple[StepChange, ...]
    same: int
    text: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether nothing differs but times."""
        return not (self.parts or self.plan or self.steps or self.text)


def compare(a: Walk, b: Walk, left: Record, right: Record) -> Difference:
    """Compare two walks with what is stored of their tasks."""
    side_a, side_b = _side(a, left), _side(b, right)
    changes, same = _steps(a.stops, b.stops)
    text = difflib.unified_diff(
        side_a.text.splitlines(), side_b.text.splitlines(), side_a.task, side_b.task, lineterm="", n=2
    )
    return Difference(
        side_a,
        side_b,
        _parting(a.stops, b.stops),
        _plan(a.moment(len(a.stops)).agents, b.moment(len(b.stops)).agents),
        changes,
        same,
        tuple(text),
    )


async def compare_tasks(place: Place, a: str, b: str) -> Difference:
    """Compare two tasks; NotFound where there is none, NonDeterminism where one drifted."""
    return compare(await tour(place, a), await tour(place, b), await look(place, a), await look(place, b))


def _side(walk: Walk, record: Record) -> Side:
    return Side(
        record.task,
        record.status,
        record.bill,
        record.duration_ms,
        len(walk.stops),
        walk.past.row.parent_id,
        record.result.text if record.result is not None else "",
    )


def _parting(a: Sequence[Stop], b: Sequence[Stop]) -> Parting | None:
    for one, other in zip(a, b, strict=False):
        why = _why(one, other)
        if why:
            return Parting(one.n, one.key or one.kind, other.key or other.kind, why)
    if len(a) == len(b):
        return None
    shorter = min(len(a), len(b))
    return Parting(
        shorter + 1,
        a[shorter].key or a[shorter].kind if len(a) > shorter else "",
        b[shorter].key or b[shorter].kind if len(b) > shorter else "",
        "only one goes on",
    )


def _why(one: Stop, other: Stop) -> str:
    if (one.kind, one.key) != (other.kind, other.key):
        return "another outcome"
    if one.input != other.input:
        return "another input"
    if one.output != other.output or one.failure != other.failure:
        return "another result"
    return ""


def _plan(a: Sequence[AgentMoment], b: Sequence[AgentMoment]) -> tuple[PlanChange, ...]:
    left, right = ({one.agent: _node(one) for one in side} for side in (a, b))
    return tuple(
        PlanChange(name, left.get(name), right.get(name))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    )


def _node(one: AgentMoment) -> str:
    after = f" after {', '.join(one.depends_on)}" if one.depends_on else ""
    return f"{one.title}{after}"


def _steps(a: Sequence[Stop], b: Sequence[Stop]) -> tuple[tuple[StepChange, ...], int]:
    left, right = ({stop.key: stop for stop in side if stop.kind in ("result", "failed")} for side in (a, b))
    changes: list[StepChange] = []
    same = 0
    for key in dict.fromkeys([*left, *right]):
        change = _step(key, left.get(key), right.get(key))
        if change is None:
            same += 1
        else:
            changes.append(change)
    return tuple(changes), same


def _step(key: str, one: Stop | None, other: Stop | None) -> StepChange | None:
    costs = (_tokens(one), _tokens(other), _pico(one), _pico(other))
    if one is None or other is None:
        return StepChange(key, "only_b" if one is None else "only_a", (), (), *costs)
    inputs, outputs = places(one.input, other.input), places(one.output, other.output)
    failed = one.failure != other.failure
    if not (inputs or outputs or failed):
        return None
    change: Change = "both" if inputs and (outputs or failed) else "input" if inputs else "output"
    return StepChange(key, change, inputs, outputs, *costs)


def places(a: bytes, b: bytes) -> tuple[str, ...]:
    """Return where two JSON documents differ, as JSON Pointers (RFC 6901); the empty one is the whole document."""
    if a == b:
        return ()
    try:
        left, right = (msgspec.json.decode(one) if one else None for one in (a, b))
    except msgspec.MsgspecError:
        return ("",)
    found = []
    for place in _differ(left, right, ""):
        found.append(place)
        if len(found) == POINTERS:
            break
    return tuple(found)


def _differ(a: object, b: object, at: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            yield from _differ(a.get(name), b.get(name), f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differ(one, other, f"{at}/{place}")
    elif a != b:
        yield at


def _tokens(stop: Stop | None) -> int:
    return stop.bill.usage.total if stop is not None else 0


def _pico(stop: Stop | None) -> int:
    return stop.bill.cost_pico if stop is not None else 0
