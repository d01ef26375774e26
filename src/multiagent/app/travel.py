"""A finished or unfinished run as a walk: one stop an outcome, and the state at any cut. Nothing is run again.

A cut is an outcome boundary: cut ``n`` is the moment just after outcome ``n`` was fed and everything it led to was
asked for; cut 0 is the run's first rest, before any outcome.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from multiagent.agents.calls import Spent
from multiagent.app.build import TENANT
from multiagent.app.history import History, read
from multiagent.app.look import task_events
from multiagent.app.place import Place
from multiagent.core.budget import Limit
from multiagent.core.errors import InvalidInput, NonDeterminism, NotFound
from multiagent.core.events import Event, EventKind
from multiagent.core.facts import (
    AgentEnded,
    AgentSkipped,
    AgentStarted,
    AgentState,
    PlannedTask,
    TaskEnded,
    TaskPlanned,
)
from multiagent.core.messages import Message
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.settings import TaskSettings
from multiagent.core.usage import Bill
from multiagent.engines.actions import Emit, RunStep, Yielded
from multiagent.engines.context import begin
from multiagent.engines.kernel import Kernel
from multiagent.engines.replay import compare, replay, value_of
from multiagent.engines.travel import capture, cut_at, ended_step

_Fact = TypeVar("_Fact", bound=msgspec.Struct)


class Output(msgspec.Struct, frozen=True):
    """What the results of steps have in common: a chain's head, what a model call used, tool calls asked for."""

    head: str = ""
    spent: Spent | None = None
    plan: msgspec.Raw | None = None


class Stop(msgspec.Struct, frozen=True):
    """One outcome with the step it answers. ``input`` and ``output`` are JSON (empty where there is none), ``head``
    the transcript that the output ends, ``before`` the one its prompt went on from.

    ``agent`` and ``tool`` are empty for steps that are no agent's or no tool's; ``kinds`` are the events that the
    workflow said on this outcome; ``failure`` is set where the step failed; ``inherited``: it is the parent's.
    """

    n: int
    kind: str
    key: str
    name: str
    time: int
    event_seq: int
    agent: str = ""
    tool: str = ""
    input: bytes = b""
    output: bytes = b""
    head: str = ""
    spent: Spent | None = None
    failure: Failure | None = None
    kinds: tuple[str, ...] = ()
    inherited: bool = False

    @property
    def bill(self) -> Bill:
        """What this task paid for it: nothing for what a fork has from its parent."""
        return self.spent.bill if self.spent is not None and not self.inherited else Bill()


class AgentMoment(msgspec.Struct):
    """One agent task at a cut: its place in the plan, the state of its machine, its transcript's head."""

    agent: str
    title: str
    state: str = "planned"
    depends_on: tuple[str, ...] = ()
    turn: int = 0
    doing: str = ""
    tokens: int = 0
    cost_pico: int = 0
    head: str = ""


class Waiting(msgspec.Struct, frozen=True):
    """A step or timer that was asked for and not answered yet; ``due`` (ms UTC) is a timer's."""

    key: str
    name: str
    due: int = 0


class Moment(msgspec.Struct, frozen=True):
    """The state at a cut, as the run's own workflow had it. ``bill`` is the budget as last reported in an outcome;
    ``published`` is what the workflow answers to queries (beliefs among it), as JSON by name; ``signals`` are those
    waited for.
    """

    task: str
    cut: int
    outcomes: int
    time: int
    event_seq: int
    status: str
    limit: Limit
    bill: Bill
    agents: tuple[AgentMoment, ...]
    pending: tuple[Waiting, ...]
    timers: tuple[Waiting, ...]
    signals: tuple[str, ...]
    published: dict[str, msgspec.Raw]
    stop: Stop | None = None


class Walk:
    """A history, walked once. Raises NonDeterminism where today's code does something else than is recorded."""

    def __init__(self, past: History, events: Sequence[Event] = ()) -> None:
        self.past = past
        self._events = events
        self._by_step = by_step(events)
        self._tools = tools_of(events)
        self._emits: list[tuple[Emit, ...]] = []
        self.stops = tuple(self._stops())

    def _stops(self) -> list[Stop]:
        past = self.past
        patches = {patch.id: patch.taken for row in past.journal for patch in row.patches}
        kernel = begin(past.workflow, past.start.task, past.start.data, past.start.time, patches=patches, decide=None)
        asked: dict[str, RunStep] = {}
        stops: list[Stop] = []
        yielded = self._take(kernel, asked)
        for row in past.journal:
            compare(row, yielded)
            if row.kind != "end":
                kernel.feed(row, value_of(row, past.results))
                yielded = self._take(kernel, asked)
            stops.append(self._stop(row, asked.get(row.key), self._emits[-1] if row.kind != "end" else ()))
        kernel.drop()
        return stops

    def _take(self, kernel: Kernel, asked: dict[str, RunStep]) -> Yielded:
        yielded = kernel.take()
        asked.update({action.id: action for action in yielded.actions if isinstance(action, RunStep)})
        self._emits.append(tuple(action for action in yielded.actions if isinstance(action, Emit)))
        return yielded

    def _stop(self, row: Outcome, step: RunStep | None, emits: tuple[Emit, ...]) -> Stop:
        stored = tuple(str(one.header.kind) for one in self._stored(row))
        kinds = stored + tuple(str(emit.kind) for emit in emits)
        if step is None:
            return Stop(row.n, row.kind, row.key, row.kind, row.time, row.event_seq, output=row.value, kinds=kinds)
        value = self.past.results.get(step.key)
        output = value if isinstance(value, bytes) else b""
        told = said(output)
        return Stop(
            row.n, row.kind, step.key, step.definition.name, row.time, row.event_seq, agent_of(step.key),
            self._tools.get(step.key, ""),
            step.payload, output, told.head, told.spent, value if isinstance(value, Failure) else None, kinds,
            step.key in self.past.inherited,
        )  # fmt: skip

    def _stored(self, row: Outcome) -> list[Event]:
        """The events of an outcome's own step."""
        key = row.key.rpartition("~")[0]
        return self._by_step.get(key, [])

    def cut(self, at: str) -> int:
        """Return the cut that an event's number or a step's key names; InvalidInput where it names none.

        An event stands for the outcomes that were there before it, and for the one whose end it tells.
        """
        row, point = self.past.row, int(at) if at.isdecimal() else at
        header = next((one.header for one in self._events if one.header.seq == point), None)
        ended = ended_step(header.key, header.kind) if header is not None else ""
        return cut_at(row.id, point, self.past.journal, row.last_seq, ended)

    def moment(self, cut: int) -> Moment:
        """Return the state at a cut from 0 to the number of outcomes."""
        past, journal = self.past, self.past.journal[:cut]
        again = replay(past.workflow, past.start, journal, past.results)
        kernel, last = again.kernel, journal[-1] if journal else None
        agents, status = self._agents(cut)
        state = capture(kernel)
        moment = Moment(
            task=past.row.id,
            cut=cut,
            outcomes=len(past.journal),
            time=last.time if last else past.start.time,
            event_seq=last.event_seq if last else 0,
            status=past.row.status if again.ended else "paused" if state.paused else status,
            limit=state.settings.limit,
            bill=sum((stop.bill for stop in self.stops[:cut]), Bill()),
            agents=agents,
            pending=tuple(Waiting(one.key, one.name) for one in state.pending),
            timers=tuple(Waiting(one.key, "timer", state.time + one.left_ms) for one in state.timers),
            signals=state.waits_for,
            published={one.name: one.state for one in state.published},
            stop=self.stops[cut - 1] if cut else None,
        )
        kernel.drop()
        return moment

    def settings(self, cut: int) -> TaskSettings:
        """Return the settings in force at a cut."""
        again = replay(self.past.workflow, self.past.start, self.past.journal[:cut], self.past.results)
        again.kernel.drop()
        return again.kernel.settings

    def _agents(self, cut: int) -> tuple[tuple[AgentMoment, ...], str]:
        """What the workflow had said of its agents up to a cut, and of itself."""
        agents: dict[str, AgentMoment] = {}
        status = "running"
        for emits in self._emits[: cut + 1]:
            for emit in emits:
                status = tell(agents, emit) or status
        for stop in self.stops[:cut]:
            if stop.agent in agents and stop.head:
                agents[stop.agent].head = stop.head
        return tuple(agents.values()), status


def tell(agents: dict[str, AgentMoment], emit: Emit) -> str:
    """Take what a workflow said into the agents' states; return the task's status where it ended."""
    kind = emit.kind
    if kind is EventKind.TASK_PLANNED:
        agents.update({one.id: _planned(one) for one in _fact(emit, TaskPlanned).tasks})
    elif kind is EventKind.AGENT_STARTED:
        begun = _fact(emit, AgentStarted)
        agents.setdefault(begun.agent, AgentMoment(begun.agent, begun.title)).state = "thinking"
    elif kind is EventKind.AGENT_STATE:
        now = _fact(emit, AgentState)
        one = agents.setdefault(now.agent, AgentMoment(now.agent, now.agent))
        one.state, one.turn, one.doing = now.state, now.turn, now.doing
        one.tokens, one.cost_pico = now.tokens, now.cost_pico
    elif kind is EventKind.AGENT_SKIPPED:
        skipped = _fact(emit, AgentSkipped)
        agents.setdefault(skipped.agent, AgentMoment(skipped.agent, skipped.title)).state = "skipped"
    elif kind in (EventKind.AGENT_COMPLETED, EventKind.AGENT_FAILED, EventKind.AGENT_CANCELLED):
        ended = _fact(emit, AgentEnded)
        one = agents.setdefault(ended.agent, AgentMoment(ended.agent, ended.title))
        one.state, one.doing, one.turn = str(kind).removeprefix("agent."), "", ended.turns
        one.tokens, one.cost_pico = ended.tokens, ended.cost_pico
    elif kind in (EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED):
        _fact(emit, TaskEnded)
        return str(kind).removeprefix("task.")
    return ""


def agent_of(key: str) -> str:
    """Return whose step a key names: the agent's id, or nothing."""
    parts = key.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "a" else ""


def tools_of(events: Sequence[Event]) -> dict[str, str]:
    """Return the tool that each step's events name, by the step's key."""
    found: dict[str, str] = {}
    for event in events:
        if event.header.key.startswith("a/") and event.header.kind.startswith("tool.") and event.payload:
            tool = msgspec.json.decode(event.payload, type=_Tool).tool
            found[event.header.key.rsplit("/", 3)[0]] = tool
    return found


class _Tool(msgspec.Struct, frozen=True):
    tool: str = ""


def by_step(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the events of each step (keyed ``<step>/<attempt>/<kind>/<n>``), by the step's key."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if event.header.key.count("/") >= 3:
            found.setdefault(event.header.key.rsplit("/", 3)[0], []).append(event)
    return found


def said(output: bytes) -> Output:
    """Return what a step's result says that all results may say; nothing where it is none of ours."""
    try:
        return msgspec.json.decode(output, type=Output) if output else Output()
    except msgspec.MsgspecError:
        return Output()


def _planned(node: PlannedTask) -> AgentMoment:
    return AgentMoment(node.id, node.title, depends_on=node.depends_on)


def _fact(emit: Emit, kind: type[_Fact]) -> _Fact:
    try:
        return msgspec.json.decode(emit.payload, type=kind)
    except msgspec.MsgspecError as error:
        raise NonDeterminism(f"event {emit.key} is no {kind.__name__}: {error}") from error


async def tour(place: Place, task: str) -> Walk:
    """Return the walk of a task, its stored events with it; NotFound where there is no such task."""
    return Walk(await read(place, task), await task_events(place, task, 0))


async def published(place: Place, task: str, name: str) -> dict[str, msgspec.Raw]:
    """Return what a task's workflow has published by its newest outcome, as JSON by name (all where none is given).

    NotFound where there is no such task, InvalidInput where nothing of that name is published.
    """
    walk = Walk(await read(place, task))
    found = {key: msgspec.Raw(value) for key, value in walk.moment(len(walk.past.journal)).published.items()}
    if not name:
        return found
    if name not in found:
        raise InvalidInput(
            f"task {task} has published no {name!r}; there is {', '.join(sorted(found)) or 'nothing yet'}"
        )
    return {name: found[name]}


async def transcript(place: Place, head: str) -> tuple[Message, ...]:
    """Return the messages up to ``head``: a prompt as it was rendered, and the answer; none where they are gone."""
    async with place.reader() as reader:
        if reader is None or not head:
            return ()
        try:
            return await reader.chain(TENANT, head)
        except NotFound:
            return ()
