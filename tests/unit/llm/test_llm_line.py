"""The line of those who wait for a budget: in order, and passed at most eight times."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from multiagent.core.budget import PASSES, ScopeRef
from multiagent.llm.gate_line import Line, Ticket

A, B = ScopeRef("task", "a"), ScopeRef("task", "b")
SCOPES = st.sampled_from([frozenset({A}), frozenset({B}), frozenset({A, B})])


def test_nobody_is_barred_by_an_empty_line() -> None:
    assert not Line().barred(frozenset({A}))


def test_one_who_was_passed_eight_times_bars_newcomers_of_its_scope_only() -> None:
    line = Line()
    ticket = line.join(frozenset({A}), {A})
    for _ in range(PASSES):
        assert not line.barred(frozenset({A}))
        line.served(frozenset({A}))
    assert line.barred(frozenset({A, B}))
    assert not line.barred(frozenset({B}))
    line.leave(ticket)
    assert not line.barred(frozenset({A}))


def test_a_round_lets_no_more_try_than_may_pass() -> None:
    """The first, and eight behind it; those of other scopes besides."""
    line = Line()
    tickets = [line.join(frozenset({A}), {A}) for _ in range(20)]
    other = line.join(frozenset({B}), {B})
    assert line.round() == (*tickets[: PASSES + 1], other)


def test_a_round_is_bounded() -> None:
    line = Line()
    for number in range(100):
        line.join(frozenset({ScopeRef("task", str(number))}), {ScopeRef("task", str(number))})
    assert len(line.round(most=64)) == 64


@given(st.lists(SCOPES, max_size=12))
def test_the_first_in_line_may_always_try(scopes: list[frozenset[ScopeRef]]) -> None:
    line = Line()
    tickets = [line.join(one, one) for one in scopes]
    assert line.round()[:1] == tuple(tickets[:1])


@given(st.lists(st.tuples(SCOPES, st.integers(0, PASSES)), max_size=30))
def test_a_round_is_what_counting_everyone_in_the_way_gives(waiting: list[tuple[frozenset[ScopeRef], int]]) -> None:
    """Against the rule spelled out: whoever has someone in the way that may not be passed again waits."""
    line = Line()
    for scopes, passed in waiting:
        line.join(scopes, scopes).passed = passed
    left = {ticket: PASSES - ticket.passed for ticket in line.tickets}
    expected: list[Ticket] = []
    for place, ticket in enumerate(line.tickets):
        in_way = [other for other in line.tickets[:place] if other.blocked & ticket.scopes]
        if all(left[other] > 0 for other in in_way):
            expected.append(ticket)
            for other in in_way:
                left[other] -= 1
    assert line.round() == tuple(expected)


class Waiting(RuleBasedStateMachine):
    """Whatever comes, goes and is served."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.all: list[Ticket] = []

    @rule(scopes=SCOPES)
    def comes(self, scopes: frozenset[ScopeRef]) -> None:
        if self.line.barred(scopes):
            self.all.append(self.line.join(scopes, scopes))
        else:
            self.line.served(scopes)

    @rule(scopes=SCOPES)
    def waits(self, scopes: frozenset[ScopeRef]) -> None:
        self.all.append(self.line.join(scopes, scopes))

    @precondition(lambda self: self.line.tickets)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        self.line.leave(data.draw(st.sampled_from(self.line.tickets)))

    @precondition(lambda self: self.line.tickets)
    @rule(data=st.data())
    def all_but_the_first_are_served(self, data: st.DataObject) -> None:
        for ticket in self.line.round()[1:]:
            if data.draw(st.booleans()):
                self.line.served(ticket.scopes, ticket)

    @invariant()
    def nobody_is_passed_more_than_eight_times(self) -> None:
        assert all(ticket.passed <= PASSES for ticket in self.all)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=40, stateful_step_count=30)
