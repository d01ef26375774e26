"""The task workflow on the real kernel, its steps scripted."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.agents.calls import AskOutput, CallRef, CheckOutput, RunInput, ThinkInput, ThinkOutput, Word
from multiagent.core.budget import Limit
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentSkipped, BudgetAlert, TaskEnded, TaskPlanned
from multiagent.core.outcome import Failure
from multiagent.core.plan import Plan
from multiagent.orchestrator.calls import DecomposeInput, DecomposeOutput, SynthesizeInput, SynthesizeOutput
from tests.unit.orchestrator.task_drive import TaskDrive, node, script, spent, task

BROKEN = Failure("VENDOR_REJECTED", "the vendor said no")


def test_a_simple_query_is_one_agent_whose_answer_is_the_tasks() -> None:
    run = TaskDrive(task(), script(mode="simple"))
    assert list(run.steps) == [
        "analyze",
        "a/t1/think/1",
        "a/t1/act/1/0/check",
        "a/t1/act/1/0/run",
        "a/t1/think/2",
        "finish",
    ]
    assert run.finish.answer == "head of a/t1/think/2"
    assert not run.result.partial
    assert run.replayed()


def test_a_planned_query_runs_its_agents_by_their_dependencies_then_synthesises() -> None:
    run = TaskDrive(task(), script())
    started = [key for key in run.steps if key.endswith("/think/1")]
    assert started == ["a/t1/think/1", "a/t2/think/1", "a/t3/think/1"]
    opening = run.steps["a/t3/think/1"].input
    assert isinstance(opening, ThinkInput)
    assert opening.opening is not None
    assert [one.head for one in opening.opening.inputs] == ["head of a/t1/think/2", "head of a/t2/think/2"]
    assert run.finish.answer == "the answer"
    assert run.finish.model_calls == 8
    assert run.replayed()


def test_every_event_that_the_live_view_needs_is_emitted_in_order() -> None:
    kinds = TaskDrive(task(), script()).kinds
    assert kinds[:3] == [EventKind.TASK_STARTED, EventKind.TASK_ANALYZED, EventKind.TASK_PLANNED]
    assert kinds[-2:] == [EventKind.SYNTHESIS_STARTED, EventKind.TASK_COMPLETED]
    assert kinds.count(EventKind.AGENT_STARTED) == kinds.count(EventKind.AGENT_COMPLETED) == 3


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.requirement("S.orchestrator.parallel")
def test_no_more_agents_run_at_once_than_the_settings_say(most: int) -> None:
    plan = [node(f"t{number}") for number in range(8)]
    run = TaskDrive(task(max_agents=most), script(plan), lambda count: count - 1)
    assert run.widest == most


@pytest.mark.requirement("S.reliability.degrade")
def test_one_failed_agent_makes_the_answer_partial_and_it_says_what_is_missing() -> None:
    run = TaskDrive(task(), script(a__t1__think__1=BROKEN))
    assert run.result.partial
    assert run.result.missing == ("title t1: the vendor said no",)
    third = run.steps["a/t3/think/1"].input
    assert isinstance(third, ThinkInput)
    assert third.opening is not None
    assert third.opening.missing == ("title t1",)
    synthesis = run.steps["synthesize"].input
    assert isinstance(synthesis, SynthesizeInput)
    assert [part.status for part in synthesis.parts] == ["failed", "completed", "completed"]
    assert run.replayed()


def test_dependents_of_failed_tasks_alone_are_skipped() -> None:
    plan = [node("t1"), node("t2", "t1"), node("t3", "t2"), node("t4")]
    run = TaskDrive(task(), script(plan, a__t1__think__1=BROKEN))
    assert [fact.agent for fact in run.facts(EventKind.AGENT_SKIPPED, AgentSkipped)] == ["t2", "t3"]
    assert run.result.partial


def test_with_fail_fast_the_first_failure_cancels_the_others_and_fails_the_task() -> None:
    run = TaskDrive(task(fail_fast=True), script(a__t1__think__1=BROKEN, a__t2__think__1=None))
    assert run.failure.code == "VENDOR_REJECTED"
    assert run.pending == []
    assert run.finish.status == "failed"
    assert run.kinds[-1] is EventKind.TASK_FAILED
    assert run.replayed()


def test_with_skip_whatever_depends_on_a_failed_task_is_skipped() -> None:
    run = TaskDrive(task(failed_agent="skip"), script(a__t1__think__1=BROKEN))
    assert [fact.agent for fact in run.facts(EventKind.AGENT_SKIPPED, AgentSkipped)] == ["t3"]
    assert run.result.partial
    assert run.result.missing == ("title t1: the vendor said no", "title t3: what it depends on brought no result")
    assert run.replayed()


def test_the_policy_that_fails_fast_is_the_same_by_its_new_name() -> None:
    run = TaskDrive(task(failed_agent="fail_fast"), script(a__t1__think__1=BROKEN, a__t2__think__1=None))
    assert run.failure.code == "VENDOR_REJECTED"


def test_with_retry_a_failed_agent_task_is_done_once_more() -> None:
    run = TaskDrive(task(failed_agent="retry"), script(a__t1__think__1=BROKEN))
    assert "a/t1.again/think/1" in run.steps
    assert not run.result.partial
    first = run.finish.agents[0]
    assert (first.agent, first.status, first.head) == ("t1", "completed", "head of a/t1.again/think/2")
    third = run.steps["a/t3/think/1"].input
    assert isinstance(third, ThinkInput)
    assert third.opening is not None
    assert [one.head for one in third.opening.inputs] == ["head of a/t1.again/think/2", "head of a/t2/think/2"]
    assert run.replayed()


def test_it_is_done_once_more_only_and_not_where_that_is_hopeless() -> None:
    twice = TaskDrive(
        task(failed_agent="retry"),
        lambda step: BROKEN if step.key in ("a/t1/think/1", "a/t1.again/think/1") else script()(step),
    )
    assert twice.result.missing == ("title t1: the vendor said no",)
    assert not any("again.again" in key for key in twice.steps)
    denied = Failure("POLICY_DENIED", "not you")
    hopeless = TaskDrive(task(failed_agent="retry"), script(a__t1__think__1=denied))
    assert not any(".again" in key for key in hopeless.steps)
    assert twice.replayed()


def test_when_the_only_agent_fails_the_task_fails_with_its_code() -> None:
    run = TaskDrive(task(), script(mode="simple", a__t1__think__1=BROKEN))
    assert run.failure.code == "VENDOR_REJECTED"
    assert run.facts(EventKind.TASK_FAILED, TaskEnded)[0].message == "the vendor said no"


def test_an_invalid_plan_is_repaired_once() -> None:
    run = TaskDrive(task(), script(decompose=DecomposeOutput("bad", spent(), None, "no task"), decompose__repair=_good))
    again = run.steps["decompose/repair"].input
    assert isinstance(again, DecomposeInput)
    assert (again.bad, again.error) == ("bad", "no task")
    assert not run.result.partial


def _good(step: Any) -> DecomposeOutput:
    return DecomposeOutput("good", spent(), Plan((node("t1"), node("t2"))))


def test_without_a_valid_plan_one_agent_does_the_whole_marked_degraded() -> None:
    bad = DecomposeOutput("bad", spent(), None, "no task")
    run = TaskDrive(task(), script(decompose=bad, decompose__repair=bad))
    assert EventKind.TASK_DEGRADED in run.kinds
    planned = run.facts(EventKind.TASK_PLANNED, TaskPlanned)[0]
    assert planned.degraded
    assert len(planned.tasks) == 1
    assert run.finish.answer == "head of a/t1/think/2"


def test_an_empty_synthesis_leaves_the_answers_side_by_side() -> None:
    run = TaskDrive(task(), script(synthesize=SynthesizeOutput("e", spent(), empty=True)))
    assert run.finish.answer == ""
    assert run.result.partial
    assert EventKind.TASK_DEGRADED in run.kinds


def test_a_denied_call_is_observed_by_the_agent_which_goes_on() -> None:
    denied = CheckOutput("deny", "h", ("guests may not",))
    run = TaskDrive(task(), script(mode="simple", a__t1__act__1__0__check=denied))
    turn = run.steps["a/t1/think/2"].input
    assert isinstance(turn, ThinkInput)
    assert "guests may not" in turn.notes[0].text
    assert "a/t1/act/1/0/run" not in run.steps
    assert not run.result.partial


def test_a_policy_that_changed_its_mind_before_the_run_is_observed_too() -> None:
    run = TaskDrive(task(), script(mode="simple", a__t1__act__1__0__run=Failure("POLICY_DENIED", "not any more")))
    turn = run.steps["a/t1/think/2"].input
    assert isinstance(turn, ThinkInput)
    assert "not any more" in turn.notes[0].text


def test_an_effect_that_may_have_happened_fails_the_agent_visibly() -> None:
    run = TaskDrive(task(), script(mode="simple", a__t1__act__1__0__run=Failure("EFFECT_UNKNOWN", "was it sent?")))
    assert run.failure.code == "EFFECT_UNKNOWN"


def approval_script() -> Any:
    return script(
        mode="simple",
        a__t1__act__1__0__check=CheckOutput("approve", "h"),
        a__t1__act__1__0__ask=AskOutput("ap", 1_750_000_000_000 + 60_000),
        a__t1__act__1__0__expire=Word(approved=False, expired=True),
    )


def test_a_call_that_needs_approval_waits_for_the_signal_and_then_runs() -> None:
    run = TaskDrive(task(), approval_script())
    assert run.ending is None
    run.feed("signal", "approval/ap", carried=msgspec.json.encode(Word(approved=True, by="user/me")))
    run.go()
    assert "a/t1/act/1/0/run" in run.steps
    assert not run.result.partial
    assert run.replayed()


def test_a_rejection_is_observed_with_its_reason() -> None:
    run = TaskDrive(task(), approval_script())
    run.feed("signal", "approval/ap", carried=msgspec.json.encode(Word(approved=False, reason="too risky")))
    run.go()
    turn = run.steps["a/t1/think/2"].input
    assert isinstance(turn, ThinkInput)
    assert "too risky" in turn.notes[0].text


def test_where_nobody_decides_in_time_the_approval_expires() -> None:
    run = TaskDrive(task(), approval_script())
    run.feed("timer", run.timers[0].key)
    run.go()
    assert "a/t1/act/1/0/expire" in run.steps
    turn = run.steps["a/t1/think/2"].input
    assert isinstance(turn, ThinkInput)
    assert "in time" in turn.notes[0].text
    assert run.replayed()


def test_several_calls_of_one_answer_run_in_order_each_under_its_own_key() -> None:
    calls = (CallRef("c1", "python", "1"), CallRef("c2", "python", "2"))
    first = ThinkOutput("both", "tool_calls", spent(), calls)
    run = TaskDrive(task(), script(mode="simple", a__t1__think__1=first))
    keys = [key for key in run.steps if "/act/" in key]
    assert keys == [f"a/t1/act/1/{one}/{what}" for one in (0, 1) for what in ("check", "run")]
    second = run.steps["a/t1/act/1/1/run"].input
    assert isinstance(second, RunInput)
    assert second.head == "head of a/t1/act/1/0/run"


def test_a_cancelled_task_writes_what_there_is_and_says_so() -> None:
    run = TaskDrive(task(), script(a__t2__think__1=None))
    run.feed("signal", "__cancel", carried=b"enough")
    run.go()
    assert run.failure.code == "CANCELLED"
    assert run.finish.status == "cancelled"
    assert [(one.agent, one.status) for one in run.finish.agents] == [("t1", "completed"), ("t2", "cancelled")]
    assert run.kinds[-1] is EventKind.TASK_CANCELLED
    assert run.replayed()


def test_the_ladder_goes_from_an_alert_over_a_cheaper_tier_to_a_partial_answer() -> None:
    """Four agents one after the other; the budget runs out under them."""
    plan = [node("t1"), node("t2", "t1"), node("t3", "t2"), node("t4", "t3")]

    def dear(tokens: int) -> ThinkOutput:
        return ThinkOutput("h", "stop", spent(tokens))

    answers = script(
        plan,
        decompose=DecomposeOutput("p", spent(1), Plan(tuple(plan))),
        a__t1__think__1=dear(81_000),
        a__t2__think__1=dear(5_000),
        a__t3__think__1=dear(11_500),
    )
    run = TaskDrive(task(tier="medium"), answers)
    assert [alert.rung for alert in run.facts(EventKind.BUDGET_ALERT, BudgetAlert)] == ["alert", "cheaper", "partial"]
    tiers = [step.input.terms.tier for key, step in run.steps.items() if key.endswith("think/1")]  # type: ignore[attr-defined]
    assert tiers == ["medium", "medium", "small"]
    assert "a/t4/think/1" not in run.steps
    assert run.result.partial


def test_when_the_budget_does_not_pay_for_the_synthesis_the_task_fails_with_what_was_finished() -> None:
    run = TaskDrive(task(), script(synthesize=Failure("BUDGET_EXCEEDED", "used up")))
    assert run.failure.code == "BUDGET_EXCEEDED"
    assert run.finish.partial
    assert [agent.status for agent in run.finish.agents] == ["completed"] * 3


def test_running_agents_must_answer_at_once_when_the_budget_is_nearly_gone() -> None:
    dear = ThinkOutput("h", "tool_calls", spent(98_000), (CallRef("c", "python", "1"),), empty=True)
    run = TaskDrive(task(), script(mode="simple", a__t1__think__1=dear))
    turn = run.steps["a/t1/think/2"].input
    assert isinstance(turn, ThinkInput)
    assert turn.final
    assert run.result.partial


def test_agents_get_a_share_of_the_budget_and_what_is_left_flows_back() -> None:
    plan = [node(f"t{number}") for number in range(10)]
    run = TaskDrive(task(limit=Limit(100_000, 10**9)), script(plan))
    limits = [
        step.input.terms.agent_limit.tokens  # type: ignore[attr-defined]
        for key, step in run.steps.items()
        if key.endswith("think/1")
    ]
    assert all(limit and limit <= 85_000 for limit in limits)
    assert min(limits) >= 20_000


@given(st.data(), st.integers(1, 4))
def test_the_answer_does_not_depend_on_which_step_ends_first_and_every_order_replays(
    data: st.DataObject, most: int
) -> None:
    plan = [node("t1"), node("t2"), node("t3", "t1"), node("t4", "t1", "t2"), node("t5")]
    run = TaskDrive(task(max_agents=most), script(plan, acts=2), lambda count: data.draw(st.integers(0, count - 1)))
    assert run.finish.answer == "the answer"
    assert [agent.agent for agent in run.finish.agents] == ["t1", "t2", "t3", "t4", "t5"]
    assert run.widest <= most
    assert run.replayed()


@given(st.data())
def test_the_task_ends_whichever_steps_fail(data: st.DataObject) -> None:
    plan = [node("t1"), node("t2", "t1"), node("t3", "t1"), node("t4", "t2", "t3")]
    good = script(plan)
    chosen: dict[str, Any] = {}

    def answers(step: Any) -> Any:
        if step.key not in chosen:
            broken = step.definition.name != "finish" and data.draw(st.integers(0, 4)) == 0
            chosen[step.key] = Failure("VENDOR_FAILED", "broken") if broken else good(step)
        return chosen[step.key]

    run = TaskDrive(task(), answers)
    assert run.ending is not None
    assert run.kinds[-1] in (EventKind.TASK_COMPLETED, EventKind.TASK_FAILED)
    assert run.replayed()
