"""Whatever a workflow does and in whatever order it is answered: it comes to an end, and it replays."""

from hypothesis import given, settings
from hypothesis import strategies as st

from multiagent.engines.actions import Complete, Fail, RunStep, StartTimer
from multiagent.engines.base import Context
from multiagent.engines.crossing import rows_to
from multiagent.engines.replay import replay, value_of
from tests.unit.engines.drive import Driver, Number, workflow
from tests.unit.engines.programs import Leaf, Node, Program, interpret, programs


def driven(program: Program, choices: list[int]) -> Driver:
    """A run of the program, each outcome chosen by the next number; then everything left is answered."""

    async def run(ctx: Context, data: Number) -> Number:
        return Number(await interpret(ctx, program, "p"))

    driver = Driver(workflow(run))
    finish(driver, choices)
    return driver


def one_outcome(driver: Driver, choice: int) -> None:
    """Answer, fail, fire, signal or cancel."""
    how, which = choice % 8, choice // 8
    asked = list(driver.asked.values())
    if how == 0 and which % 5 == 0:
        driver.cancel()
    elif how == 1 or not asked:
        names = driver.kernel.waiting_signals() or ("go",)
        driver.signal(f"{names[which % len(names)]}~{len(driver.journal)}", b"1")
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


@given(programs, st.lists(st.integers(0, 999), max_size=25), st.lists(st.integers(1, 30), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_fork_at_any_cut_ends_and_replays_and_so_does_its_fork(
    program: Program, choices: list[int], cuts: list[int]
) -> None:
    driver = driven(program, choices)
    for number, cut in enumerate(cuts):
        rows = [row for row in driver.journal if row.kind != "end"]
        if not rows:
            return
        before = rows_to(driver.journal, min(cut, len(rows)))
        driver = driver.fork(len(before), name=f"fork-{number}")
        finish(driver, choices[number:])
        assert driver.kernel.cuts == sum(row.kind == "settings" for row in driver.journal)
        assert driver.journal[: len(before) - 1] == list(before[:-1])
        assert driver.journal[len(before)].key == before[-1].key
        again = driver.replayed()
        assert again.ended
        assert not again.kernel.fibers


def finish(driver: Driver, choices: list[int]) -> None:
    """Answer by choice, then whatever is left."""
    for choice in [*choices, *(turn * 8 + 2 for turn in range(400))]:
        if driver.ending is None:
            one_outcome(driver, choice)
    assert driver.ending is not None, "the run is stuck"


def test_a_race_in_a_group_with_a_timeout_replays() -> None:
    program = Node("group", (Node("race", (Leaf("step"), Leaf("sleep"))), Node("timeout", (Leaf("signal"),))))
    driver = driven(program, [3, 2])
    assert isinstance(driver.ending, Complete | Fail)
    driver.replayed()
