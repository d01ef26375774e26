"""What a task does where a budget refuses a call: less, and at the very end nothing."""

from multiagent.agents.calls import ThinkInput
from multiagent.agents.fsm import ANSWER_SHORT
from multiagent.core.budget import Limit
from multiagent.core.events import EventKind
from multiagent.core.facts import BudgetAlert, TaskDegraded
from multiagent.core.outcome import Failure
from tests.unit.orchestrator.task_drive import TaskDrive, node, script, task

REFUSED = Failure("BUDGET_EXCEEDED", "used up")


def test_an_agent_whose_share_is_too_small_for_one_call_may_use_what_is_left_beside_the_synthesis() -> None:
    refused = Failure("BUDGET_EXCEEDED", "the budget of agent t1 has 2000 tokens left")
    run = TaskDrive(task(limit=Limit(8_000)), script(a__t1__think__1=refused))
    first, second = run.steps["a/t1/think/1"].input, run.steps["a/t1/think/1/wider"].input
    assert isinstance(first, ThinkInput)
    assert isinstance(second, ThinkInput)
    assert (first.terms.agent_limit.tokens or 0) < (second.terms.agent_limit.tokens or 0) == 6_700
    assert not run.result.partial
    assert run.replayed()


def test_a_call_that_does_not_fit_what_is_left_fails_the_agent() -> None:
    answers = script(
        mode="simple", a__t1__think__1=REFUSED, a__t1__think__1__wider=REFUSED, a__t1__think__1__short=REFUSED
    )
    run = TaskDrive(task(), answers)
    assert run.failure.code == "BUDGET_EXCEEDED"
    assert not run.finish.partial


def test_an_agent_that_cannot_pay_for_its_conversation_answers_from_the_beginning_of_it() -> None:
    """The last try for an answer may use what is kept for a synthesis, as long as there is nothing to put together."""
    plan = [node("t1"), node("t2", "t1")]
    answers = script(plan, a__t1__think__2=REFUSED, a__t1__think__2__wider=REFUSED)
    run = TaskDrive(task(limit=Limit(8_000)), answers)
    short = run.steps["a/t1/think/2/short"].input
    assert isinstance(short, ThinkInput)
    assert (short.head, short.final, short.notes, short.opening is not None) == ("", True, (), True)
    assert short.say == ANSWER_SHORT
    assert short.terms.agent_limit.tokens == 8_000
    (first, *others) = run.finish.agents
    assert (first.status, first.partial, first.turns) == ("completed", True, 2)
    assert not any(one.partial for one in others)
    assert run.result.partial
    assert run.replayed()


def test_only_one_agent_at_its_last_try_may_use_what_is_kept() -> None:
    answers = script(
        a__t1__think__1=REFUSED, a__t1__think__1__wider=REFUSED, a__t2__think__1=REFUSED, a__t2__think__1__wider=REFUSED
    )
    run = TaskDrive(task(limit=Limit(8_000)), answers)
    limits = [run.steps[f"a/{name}/think/1/short"].input.terms.agent_limit.tokens for name in ("t1", "t2")]  # type: ignore[attr-defined]
    assert max(limits) == 8_000
    assert min(limits) <= 6_800


def test_one_answer_stands_alone_where_the_budget_does_not_pay_for_a_synthesis() -> None:
    failed = Failure("VENDOR_FAILED", "broken")
    answers = script([node("t1"), node("t2")], a__t2__think__1=failed, synthesize=REFUSED)
    run = TaskDrive(task(), answers)
    assert run.result.partial
    assert run.finish.answer == run.finish.agents[0].head
    assert [fact.code for fact in run.facts(EventKind.TASK_DEGRADED, TaskDegraded)] == ["BUDGET_EXCEEDED"]
    assert run.replayed()


def test_what_a_failed_call_may_have_cost_stands_in_the_bill_and_counts_as_used() -> None:
    """Its agent fails; the ladder knows of it, as the budget does."""
    lost = Failure("VENDOR_TIMEOUT", "no answer", True, {"lost_tokens": 85_000, "lost_pico": 7})
    run = TaskDrive(task(), script(mode="simple", a__t1__think__2=lost))
    (agent,) = run.finish.agents
    assert agent.status == "failed"
    assert (agent.bill.lost_tokens, agent.bill.lost_pico, agent.bill.model_calls) == (85_000, 7, 1)
    assert [alert.tokens for alert in run.facts(EventKind.BUDGET_ALERT, BudgetAlert)] == [85_100]
    assert run.replayed()
