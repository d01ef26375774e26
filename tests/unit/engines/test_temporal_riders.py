"""Facts on their way to storage: whatever happens to their carriers, they are stored in order, and none is lost."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from multiagent.core.events import EventDraft, EventKind
from multiagent.core.outcome import Outcome
from multiagent.core.task import TaskStatus
from multiagent.engines.temporal.records import Fed, Riders, Told
from multiagent.engines.temporal.riders import HEAVY, Carriage


def event(number: int, size: int = 2) -> EventDraft:
    return EventDraft(f"w/{number}", EventKind.AGENT_STATE, b"x" * size, number)


class Store:
    """What storage would hold: facts by number, brought by carriers in any order, and again."""

    def __init__(self) -> None:
        self.facts: list[Told | Fed] = []
        self.row = 0
        self.status = ""

    def take(self, riders: Riders) -> None:
        assert riders.first <= len(self.facts) + 1, "a fact was stored before one that was told earlier"
        known = self.facts[riders.first - 1 :]
        assert list(riders.facts[: len(known)]) == known[: len(riders.facts)]
        self.facts += riders.facts[len(known) :]
        rows = [fact.outcome.n for fact in self.facts if isinstance(fact, Fed)]
        self.row = rows[-1] if rows else 0
        if riders.status is not None and riders.at == self.row:
            self.status = f"{riders.status} {riders.waits_for}"


class Road(RuleBasedStateMachine):
    """Carriers leave, are stored, answer and are lost in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.carriage, self.store = Carriage(0), Store()
        self.told: list[Told | Fed] = []
        self.away: dict[str, Riders] = {}
        self.row = self.carriers = 0
        self.shown = ""

    def _one(self, pick: int) -> str:
        return sorted(self.away)[pick % len(self.away)]

    @rule()
    def tell(self) -> None:
        draft = event(len(self.told))
        self.carriage.tell(draft)
        self.told.append(Told(draft))

    @rule()
    def feed(self) -> None:
        self.row += 1
        outcome = Outcome(self.row, "timer", f"timer/{self.row}", self.row)
        self.carriage.feed(outcome)
        self.told.append(Fed(outcome))

    @rule(pick=st.integers(0, 3))
    def show(self, pick: int) -> None:
        """What a row shows changes with an outcome, and only then."""
        self.feed()
        status: TaskStatus = "waiting" if pick % 2 else "running"
        self.carriage.show(status, str(pick))
        self.shown = f"{status} {pick}"

    @rule()
    def leave(self) -> None:
        self.carriers += 1
        self.away[f"c{self.carriers}"] = self.carriage.load(f"c{self.carriers}")

    @precondition(lambda self: self.away)
    @rule(pick=st.integers(0, 7))
    def be_stored(self, pick: int) -> None:
        self.store.take(self.away[self._one(pick)])

    @precondition(lambda self: self.away)
    @rule(pick=st.integers(0, 7))
    def answer(self, pick: int) -> None:
        name = self._one(pick)
        self.store.take(self.away.pop(name))
        self.carriage.arrived(name)

    @precondition(lambda self: self.away)
    @rule(pick=st.integers(0, 7))
    def get_lost(self, pick: int) -> None:
        name = self._one(pick)
        del self.away[name]
        self.carriage.lost(name)

    def teardown(self) -> None:
        """Let everybody answer, and one more who takes what is stranded: then all is stored, in order."""
        while self.away:
            self.answer(0)
        if self.carriage.stranded:
            self.leave()
            self.answer(0)
        assert self.store.facts == self.told
        assert self.carriage.empty
        assert not self.carriage.stranded
        assert self.store.status == self.shown


TestRoad = Road.TestCase
TestRoad.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_carrier_that_was_lost_leaves_its_facts_to_the_next() -> None:
    carriage = Carriage(3)
    carriage.tell(event(1))
    assert carriage.load("a").facts == (Told(event(1)),)
    before = carriage.stranded
    carriage.lost("a")
    assert (before, carriage.stranded) == (False, True)
    again = carriage.load("b")
    assert (again.first, again.facts, again.at) == (1, (Told(event(1)),), 3)


def test_a_carrier_that_answers_late_acknowledges_what_it_had_and_no_more() -> None:
    carriage = Carriage(0)
    carriage.tell(event(1))
    carriage.load("a")
    carriage.tell(event(2))
    carriage.load("b")
    carriage.arrived("b")
    assert carriage.empty
    carriage.tell(event(3))
    carriage.arrived("a")
    assert carriage.load("c") == Riders(3, (Told(event(3)),))


def test_what_the_row_shows_is_said_once_unless_it_is_to_be_said_again() -> None:
    carriage = Carriage(0)
    carriage.show("running", "")
    assert carriage.load("a").status == "running"
    carriage.arrived("a")
    carriage.show("running", "")
    before = carriage.stranded
    carriage.show("running", "", again=True)
    assert (before, carriage.stranded) == (False, True)


def test_facts_that_are_too_many_are_heavy_until_they_are_acknowledged() -> None:
    carriage = Carriage(0)
    for _ in range(HEAVY // 1000 + 1):
        carriage.tell(event(1, 1000))
    heavy = carriage.heavy
    assert heavy
    assert len(msgspec.json.encode(carriage.load("a"))) < 3 * HEAVY
    carriage.arrived("a")
    assert (carriage.heavy, carriage.size) == (False, 0)
