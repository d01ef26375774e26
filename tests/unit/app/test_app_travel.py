"""The walk through a history: its stops, and the state at every cut."""

from pathlib import Path

import msgspec
import pytest

from multiagent.app.history import read
from multiagent.app.look import task_events
from multiagent.app.travel import Walk, agent_of, tour
from multiagent.cli.view import View, apply
from multiagent.core.errors import InvalidInput, NonDeterminism
from multiagent.testing.places import place_at
from multiagent.testing.replayed import Register
from tests.replay import product_run


@pytest.fixture
async def home(tmp_path: Path, register: Register) -> Path:
    """A home in which one task of three agents has run."""
    (tmp_path / "kept").mkdir()
    await product_run.record(tmp_path / "home", register, tmp_path / "kept")
    return tmp_path / "home"


@pytest.mark.requirement("C5.states")
async def test_the_state_at_every_cut_is_the_one_that_was_recorded_live(home: Path) -> None:
    """For every cut: plan, states, turns' tools, tokens and cost of all agents as the stored events told them."""
    walk = await tour(place_at(home), product_run.ID)
    events = await task_events(place_at(home), product_run.ID, 0)
    journal = walk.past.journal
    for cut in range(len(journal) + 1):
        until = journal[cut].event_seq if cut < len(journal) else events[-1].header.seq
        live = View(product_run.ID)
        for event in events:
            if event.header.key.startswith("w/") and event.header.seq <= until:
                apply(live, event)
        state = walk.moment(cut)
        assert [(one.agent, one.state, one.doing, one.tokens, one.cost_pico) for one in state.agents] == [
            (one.id, one.state, one.doing, one.tokens, one.cost_pico) for one in live.agents.values()
        ], cut
        assert state.status == (live.status if live.status != "queued" else "running")


async def test_steps_are_pending_from_their_start_to_their_outcome(home: Path) -> None:
    """At each cut exactly those steps are pending that were asked for before it and are answered after it."""
    walk = await tour(place_at(home), product_run.ID)
    assert [one.key for one in walk.moment(0).pending] == ["analyze"]
    answered = [stop.key for stop in walk.stops]
    for cut in range(len(walk.stops)):
        pending = {one.key for one in walk.moment(cut).pending}
        assert pending <= set(answered[cut:])
        assert answered[cut] in pending or walk.stops[cut].kind == "end"
    last = walk.moment(len(walk.stops))
    assert (last.pending, last.status) == ((), "completed")


async def test_the_budget_is_what_outcomes_have_reported_so_far(home: Path) -> None:
    """Each model call adds its bill at its own outcome; transcripts' heads move with their agents' steps."""
    walk = await tour(place_at(home), product_run.ID)
    total = 0
    for cut, stop in enumerate(walk.stops, 1):
        total += stop.spent.used.total if stop.spent else 0
        assert walk.moment(cut).bill.usage.total == total
    at = walk.moment(walk.cut("a/t1/think/1"))
    assert next(one for one in at.agents if one.agent == "t1").head == "a/t1/think/1-head"
    assert at.stop is not None
    assert at.stop.key == "a/t1/think/1"


async def test_a_cut_is_named_by_an_event_or_a_step(home: Path) -> None:
    """A step stands for just after its outcome, and so does the event that tells its end."""
    walk = await tour(place_at(home), product_run.ID)
    last = walk.past.row.last_seq
    for row in walk.past.journal:
        step = row.key.rpartition("~")[0]
        if step:
            assert walk.cut(step) == row.n
            assert walk.cut(str(row.event_seq)) == row.n
    assert (walk.cut("0"), walk.cut("1")) == (0, 0)
    for wrong in (str(last + 1), "nowhere", "a/t1/think/99", "-1"):
        with pytest.raises(InvalidInput, match=r"events|step"):
            walk.cut(wrong)


async def test_a_walk_over_a_tampered_history_says_where(home: Path) -> None:
    past = await read(place_at(home), product_run.ID)
    rows = (past.journal[0], msgspec.structs.replace(past.journal[1], digest="0" * 16), *past.journal[2:])
    with pytest.raises(NonDeterminism, match="outcome 2"):
        Walk(msgspec.structs.replace(past, journal=rows))


def test_an_agents_steps_are_told_by_their_keys() -> None:
    assert [agent_of(key) for key in ("a/t1/think/1", "analyze", "decompose/repair", "a/x/act/1/0/run")] == [
        "t1",
        "",
        "",
        "x",
    ]
