"""The agent's state machine: legal paths only, and always an end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.agents import fsm
from multiagent.agents.calls import CallRef
from multiagent.core.errors import WorkflowBroken

BOUNDS = fsm.Bounds(max_turns=4, max_repeats=3)


def call(name: str = "python", arguments: str = "h", position: int = 0) -> CallRef:
    return CallRef(f"c{position}", name, arguments)


def follow(*happenings: Any, bounds: fsm.Bounds = BOUNDS) -> tuple[fsm.State, fsm.Intent]:
    state, intent = fsm.State(), None
    for happening in happenings:
        state, intent = fsm.advance(state, happening, bounds)
    assert intent is not None
    return state, intent


def test_a_turn_goes_from_thinking_over_acting_and_observing_to_the_next() -> None:
    phases = []
    state = fsm.State()
    for happening in (
        fsm.Begun(),
        fsm.Thought((call(),)),
        fsm.Checked("allow"),
        fsm.Observed(),
        fsm.Resumed(),
        fsm.Thought(),
    ):
        state, _ = fsm.advance(state, happening, BOUNDS)
        phases.append(state.phase)
    assert phases == ["thinking", "acting", "acting", "observing", "thinking", "completed"]


def test_the_last_turn_may_call_no_tools_and_is_told_so() -> None:
    happenings: list[Any] = [fsm.Begun()]
    for turn in range(3):
        happenings += [fsm.Thought((call(arguments=str(turn)),)), fsm.Checked("allow"), fsm.Observed(), fsm.Resumed()]
    _, intent = follow(*happenings)
    assert intent == fsm.Think(4, final=True, say=fsm.ANSWER_NOW)


def test_calls_made_in_the_last_turn_are_ignored_when_there_is_text() -> None:
    _, intent = follow(fsm.Begun(last=True), fsm.Thought((call(),), empty=False))
    assert intent == fsm.Finish(partial=True)


def test_no_answer_in_the_last_turn_is_a_failure_that_says_what_to_do() -> None:
    _, intent = follow(fsm.Begun(last=True), fsm.Thought((call(),), empty=True))
    assert isinstance(intent, fsm.Fail)
    assert intent.code == "MODEL_OUTPUT_INVALID"
    assert "tier" in intent.message


def test_an_empty_answer_is_asked_for_again() -> None:
    state, intent = follow(fsm.Begun(), fsm.Thought(empty=True))
    assert intent == fsm.Think(2, say=fsm.EMPTY_ANSWER)
    assert state.turn == 2


def test_an_answer_cut_by_its_length_is_partial() -> None:
    assert follow(fsm.Begun(), fsm.Thought(finish="length"))[1] == fsm.Finish(partial=True)


def test_the_fourth_identical_call_is_refused_once_then_the_agent_must_answer() -> None:
    bounds = fsm.Bounds(max_turns=20, max_repeats=3)
    state, intent = fsm.advance(fsm.State(), fsm.Begun(), bounds)
    for _ in range(3):
        state, intent = fsm.advance(state, fsm.Thought((call(),)), bounds)
        assert intent == fsm.Check(0)
        for happening in (fsm.Checked("allow"), fsm.Observed(), fsm.Resumed()):
            state, intent = fsm.advance(state, happening, bounds)
    state, intent = fsm.advance(state, fsm.Thought((call(),)), bounds)
    assert isinstance(intent, fsm.Refuse)
    assert "3 times" in intent.text
    state, intent = fsm.advance(state, fsm.Observed(), bounds)
    state, intent = fsm.advance(state, fsm.Resumed(), bounds)
    assert isinstance(intent, fsm.Think)
    assert not intent.final
    state, intent = fsm.advance(state, fsm.Thought((call(),)), bounds)
    assert isinstance(intent, fsm.Refuse)
    state, intent = fsm.advance(state, fsm.Observed(), bounds)
    state, intent = fsm.advance(state, fsm.Resumed(), bounds)
    assert isinstance(intent, fsm.Think)
    assert intent.final


def test_identical_calls_in_one_answer_count_each() -> None:
    state, intent = follow(fsm.Begun(), fsm.Thought(tuple(call(position=one) for one in range(4))))
    refused = 0
    while not isinstance(intent, fsm.Read):
        if isinstance(intent, fsm.Check):
            state, intent = fsm.advance(state, fsm.Checked("allow"), BOUNDS)
        refused += isinstance(intent, fsm.Refuse)
        state, intent = fsm.advance(state, fsm.Observed(), BOUNDS)
    assert refused == 1


@pytest.mark.parametrize("verdict", ["deny", "invalid"])
def test_a_refused_call_becomes_an_observation_with_the_reasons(verdict: Any) -> None:
    _, intent = follow(fsm.Begun(), fsm.Thought((call(),)), fsm.Checked(verdict, ("guests may not", "really")))
    assert isinstance(intent, fsm.Refuse)
    assert "guests may not; really" in intent.text


def test_a_call_that_needs_approval_waits_for_a_person_and_a_no_is_observed() -> None:
    asked = (fsm.Begun(), fsm.Thought((call(),)), fsm.Checked("approve"))
    state, intent = follow(*asked)
    assert (state.phase, intent) == ("waiting_approval", fsm.AskPerson(0))
    assert follow(*asked, fsm.Decided(approved=True))[1] == fsm.Run(0)
    _, intent = follow(*asked, fsm.Decided(approved=False, reason="too dear"))
    assert isinstance(intent, fsm.Refuse)
    assert "too dear" in intent.text


@pytest.mark.parametrize("phase", fsm.FINAL)
def test_nothing_happens_to_an_agent_that_has_ended(phase: Any) -> None:
    with pytest.raises(WorkflowBroken):
        fsm.advance(fsm.State(phase), fsm.Stopped(), BOUNDS)


CALLS = st.lists(
    st.builds(CallRef, st.just("c"), st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])), max_size=20
).map(tuple)


@given(st.data(), st.integers(1, 6), st.integers(1, 3))
@pytest.mark.requirement("S.agents.fsm")
def test_every_agent_ends_whatever_happens_within_the_bounds(data: st.DataObject, turns: int, repeats: int) -> None:
    """Whatever model, policy and people answer: legal steps only, at most ``turns`` thoughts, no call too often."""
    bounds = fsm.Bounds(turns, repeats)
    state, intent = fsm.advance(fsm.State(), fsm.Begun(data.draw(st.booleans())), bounds)
    thoughts, made = 0, dict[str, int]()
    for _ in range(10_000):
        if state.phase in fsm.FINAL:
            break
        happening = _draw(data, intent)
        if isinstance(intent, fsm.Think):
            thoughts += 1
        if isinstance(intent, fsm.Run):
            one = state.calls[intent.position]
            made[f"{one.name}{one.hash}"] = made.get(f"{one.name}{one.hash}", 0) + 1
        assert isinstance(happening, fsm.LEGAL[state.phase])
        state, intent = fsm.advance(state, happening, bounds)
    assert state.phase in fsm.FINAL
    assert thoughts <= turns
    assert all(count <= repeats for count in made.values())


def _draw(data: st.DataObject, intent: fsm.Intent) -> fsm.Happening:
    if data.draw(st.integers(0, 60)) == 0:  # now and then something breaks
        return fsm.Stopped() if data.draw(st.booleans()) else fsm.Broke("VENDOR_FAILED", "it broke")
    if isinstance(intent, fsm.Think):
        calls = data.draw(CALLS)
        return fsm.Thought(calls, data.draw(st.booleans()), data.draw(st.sampled_from(["stop", "length"])))
    if isinstance(intent, fsm.Check):
        return fsm.Checked(data.draw(st.sampled_from(["allow", "deny", "approve", "invalid"])))
    if isinstance(intent, fsm.AskPerson):
        return fsm.Decided(data.draw(st.booleans()))
    if isinstance(intent, fsm.Read):
        return fsm.Resumed(data.draw(st.booleans()))
    return fsm.Observed()
