"""Whatever a workflow does and in whatever order it is answered: it comes to an end, and it replays."""

from hypothesis import given, settings
from hypothesis import strategies as st

from multiagent.engines.actions import Complete, Fail, RunStep, StartTimer
from multiagent.engines.base import Context
from multiagent.engines.replay import replay, value_of
from tests.unit.engines.drive import Driver, Number, workflow
from tests.unit.engines.programs import Leaf, Node, Program, interpret, programs


def driven(program: Program, choices: list[int]) -> Driver:
    """A run of the program, each outcome chosen by the next number; then everything left is answered."""

    async def run(ctx: Context, data: Number) -> Number:
        return Number(await interpret(ctx, program, "p"))

    driver = Driver(workflow(run))
    for choice in choices:
        if driver.ending is None:
            one_outcome(driver, choice)
    for turn in range(400):
        if driver.ending is not None:
            break
        one_outcome(driver, turn * 8 + 2)
    assert driver.ending is not None, "the run is stuck"
    return driver


def one_outcome(driver: Driver, choice: int) -> None:
    """Answer, fail, fire, signal or cancel."""
    how, which = choice % 8, choice // 8
    asked = list(driver.asked.values())
    if how == 0 and which % 5 == 0:
        driver.cancel()
    elif how == 1 or not asked:
        driver.signal("go", b"1")
    else:
        action = asked[which % len(asked)]
        if isinstance(action, StartTimer):
            driver.fire(action.key)
        elif isinstance(action, RunStep) and how == 3:
            driver.fail(action.key)
        elif isinstance(action, RunStep):
            driver.answer(action.key, which)


@given(programs, st.lists(st.integers(0, 999), max_size=25))
@settings(max_examples=300, deadline=None)
def test_every_program_ends_and_replays_identically(program: Program, choices: list[int]) -> None:
    driver = driven(program, choices)
    again = driver.replayed()
    assert again.ended
    assert not again.kernel.fibers
    assert driver.pending() == []
    assert driver.timers() == []


@given(programs, st.lists(st.integers(0, 999), max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_prefix_of_a_journal_asks_for_what_the_live_run_asked_for(program: Program, choices: list[int]) -> None:
    async def run(ctx: Context, data: Number) -> Number:
        return Number(await interpret(ctx, program, "p"))

    driver = Driver(workflow(run))
    for choice in choices:
        driver.replayed().kernel.drop()
        if driver.ending is not None:
            break
        one_outcome(driver, choice)
    driver.replayed()


@given(programs, st.lists(st.integers(0, 999), max_size=25), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_a_run_resumed_at_any_cut_goes_on_as_the_live_one(program: Program, choices: list[int], cut: int) -> None:
    driver = driven(program, choices)
    rows = [row for row in driver.journal if row.kind != "end"]
    resumed = replay(driver.definition, driver.start, rows[:cut], driver.results)
    digest = resumed.tail.digest
    for row in rows[cut:]:
        assert row.digest == digest
        resumed.kernel.feed(row, value_of(row, driver.results))
        digest = resumed.kernel.take().digest
    assert digest == next(row.digest for row in driver.journal if row.kind == "end")
    assert resumed.kernel.ended


def test_a_race_in_a_group_with_a_timeout_replays() -> None:
    program = Node("group", (Node("race", (Leaf("step"), Leaf("sleep"))), Node("timeout", (Leaf("signal"),))))
    driver = driven(program, [3, 2])
    assert isinstance(driver.ending, Complete | Fail)
    driver.replayed()
