"""Which events are shown."""

import pytest

from multiagent.cli.events import Filter, agents_of, kinds
from multiagent.core.errors import InvalidInput
from multiagent.core.events import Event, EventHeader, EventKind


def event(kind: EventKind, key: str, payload: bytes = b"{}") -> Event:
    return Event(EventHeader(1, "t", "i", "task", 1, key, kind, 0, "", "", "", "", ""), payload)


def test_an_event_is_its_steps_and_its_payloads_agents() -> None:
    """A forgotten payload leaves the step's."""
    assert agents_of(event(EventKind.STEP_STARTED, "a/t1/think/1/1/step.started/1")) == {"t1"}
    assert agents_of(event(EventKind.AGENT_STATE, "w/5", b'{"agent":"t2","state":"x"}')) == {"t2"}
    assert agents_of(event(EventKind.TASK_STARTED, "w/1", b"")) == frozenset()


def test_filters_are_joined_by_and_their_values_by_or() -> None:
    started = event(EventKind.STEP_STARTED, "a/t1/think/1/1/step.started/1")
    assert Filter().passes(started)
    assert Filter(frozenset(kinds("step.*")), frozenset({"t1", "t2"})).passes(started)
    assert not Filter(frozenset(kinds("tool.*")), frozenset({"t1"})).passes(started)
    assert not Filter(frozenset(), frozenset({"t2"})).passes(started)


def test_a_sort_of_kinds_is_all_of_them_and_an_unknown_one_is_refused() -> None:
    assert set(kinds("tool.*")) == {one for one in EventKind if one.startswith("tool.")}
    assert kinds("task.planned") == (EventKind.TASK_PLANNED,)
    for wrong in ("tool", "*", ".*", "task.plan", ""):
        with pytest.raises(InvalidInput, match="there are"):
            kinds(wrong)
