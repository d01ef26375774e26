"""Strategies on the real kernel: who is asked, when it stops, what it comes to."""

import msgspec
import pytest

from multiagent.agents.belief import Belief
from multiagent.agents.calls import ReviewInput, ReviewOutput, Ruling, ThinkInput, ThinkOutput
from multiagent.core.budget import Limit
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentBelieves, AgentRuled
from multiagent.core.outcome import Failure
from multiagent.core.plan import AskedStrategy, Strategy
from multiagent.core.settings import TaskSettings
from multiagent.engines.actions import RunStep
from multiagent.orchestrator.calls import AnalyzeOutput
from multiagent.orchestrator.complexity import needs_collaboration
from multiagent.orchestrator.strategies.choose import choose
from tests.unit.orchestrator.task_drive import Script, TaskDrive, node, script, spent, task

YES = Ruling(accept=True, reasons=("recomputed",))
NO = Ruling(accept=False, reasons=("7 is 8",), corrections=("say 8",))


def reviewed(*rulings: Ruling | None, acts: int = 0, mode: str = "simple") -> Script:
    """A good run whose reviews end in these rulings, one after the other, the last again and again."""
    said: dict[str, Ruling | None] = {}
    usual = script(mode=mode, acts=acts)

    def answer(step: RunStep) -> msgspec.Struct | Failure | None:
        if step.definition.name != "review":
            return usual(step)
        if step.key not in said:
            said[step.key] = rulings[min(len(said), len(rulings) - 1)]
        return ReviewOutput(ThinkOutput(f"head of {step.key}", "stop", spent()), said[step.key])

    return answer


def ran(strategy: AskedStrategy, answers: Script, **settings: object) -> TaskDrive:
    return TaskDrive(task(strategy=strategy, **settings), answers)


def asked(run: TaskDrive) -> list[str]:
    return [key.split("/")[1] for key in run.steps if "/think/" in key]


def test_collaboration_is_a_proposer_a_critic_and_a_judge() -> None:
    run = ran("collaborative", reviewed(YES))
    assert asked(run) == ["t1", "t1.critic1", "t1.judge2"]
    judged = run.steps["a/t1.judge2/think/1"].input
    assert isinstance(judged, ReviewInput)
    assert (judged.review.role, judged.review.answer) == ("judge", "head of a/t1/think/1")
    assert run.finish.answer == "head of a/t1/think/1"
    assert not run.result.partial
    assert run.replayed()


def test_what_the_critic_rejects_is_put_right_before_the_judge_sees_it() -> None:
    run = ran("collaborative", reviewed(NO, YES))
    assert asked(run) == ["t1", "t1.critic1", "t1.2", "t1.judge2"]
    revised = run.steps["a/t1.2/think/1"].input
    assert isinstance(revised, ThinkInput)
    assert revised.opening is not None
    assert [one.head for one in revised.opening.inputs] == ["head of a/t1/think/1", "head of a/t1.critic1/think/1"]
    assert run.finish.answer == "head of a/t1.2/think/1"
    assert run.replayed()


def test_an_answer_the_judge_rejects_twice_stands_as_partial_with_the_reason() -> None:
    run = ran("collaborative", reviewed(YES, NO))
    assert asked(run) == ["t1", "t1.critic1", "t1.judge2", "t1.2", "t1.judge3"]
    assert run.result.partial
    assert "the judge does not accept this answer: 7 is 8; say 8" in run.finish.agents[0].message
    assert run.result.missing == ("the query: the judge does not accept this answer: 7 is 8; say 8",)
    assert run.replayed()


def test_a_judge_that_fails_leaves_the_answer_unconfirmed() -> None:
    run = ran("collaborative", reviewed(None))
    assert run.result.partial
    assert run.finish.agents[0].message == "no judge ruled on this answer"
    assert not run.facts(EventKind.AGENT_RULED, AgentRuled)[0].readable


def test_the_bill_of_an_agent_task_is_that_of_all_who_worked_on_it() -> None:
    run = ran("collaborative", reviewed(YES))
    (agent,) = run.finish.agents
    assert (agent.agent, agent.bill.model_calls, agent.bill.usage.total) == ("t1", 3, 300)
    assert run.finish.model_calls == 3


def test_iteration_stops_at_once_where_tools_and_a_critic_agree() -> None:
    run = ran("iterative", reviewed(YES, acts=1))
    assert list(dict.fromkeys(asked(run))) == ["t1", "t1.critic1"]
    beliefs = run.facts(EventKind.AGENT_BELIEVES, AgentBelieves)
    assert [one.best for one in beliefs] == ["", "answer1"]
    assert beliefs[0].hypotheses[0].confidence == pytest.approx(2 / 3, abs=1e-3)
    assert not run.result.partial
    assert run.replayed()


def test_without_tools_one_critic_is_not_enough_evidence() -> None:
    run = ran("iterative", reviewed(YES))
    assert asked(run) == ["t1", "t1.critic1", "t1.critic2"]
    assert not run.result.partial


def test_iteration_goes_on_after_a_rejection_and_takes_the_answer_it_believes() -> None:
    run = ran("iterative", reviewed(NO, YES))
    assert asked(run) == ["t1", "t1.critic1", "t1.2", "t1.critic2", "t1.critic3"]
    last = run.facts(EventKind.AGENT_BELIEVES, AgentBelieves)[-1]
    assert last.best == "answer2"
    assert [one.id for one in last.hypotheses] == ["answer1", "answer2"]
    assert run.finish.answer == "head of a/t1.2/think/1"
    assert run.replayed()


def test_iteration_ends_after_its_rounds_with_the_likeliest_answer_marked_as_unsure() -> None:
    run = ran("iterative", reviewed(NO))
    assert asked(run) == ["t1", "t1.critic1", "t1.2", "t1.critic2", "t1.3", "t1.critic3"]
    assert run.result.partial
    assert "believed with" in run.finish.agents[0].message
    assert run.replayed()


def test_the_belief_can_be_asked_for_while_it_forms() -> None:
    run = ran("iterative", reviewed(NO, YES))
    published = run.kernel.query("belief/t1")
    assert published is not None
    belief = msgspec.json.decode(published, type=Belief)
    assert belief.best is not None
    assert len(belief.evidence) == 3


def test_a_nearly_empty_budget_allows_no_review() -> None:
    run = ran("collaborative", reviewed(YES), limit=Limit(102, None))
    assert asked(run) == ["t1"]
    assert run.result.partial


def test_a_failed_proposal_is_not_reviewed() -> None:
    broken = script(mode="simple", a__t1__think__1=Failure("VENDOR_REJECTED", "no"))
    for strategy in ("collaborative", "iterative"):
        run = TaskDrive(task(strategy=strategy), broken)
        assert run.failure.code == "VENDOR_REJECTED"


def test_the_plan_gives_each_agent_task_its_strategy() -> None:
    plan = [msgspec.structs.replace(node("t1"), strategy="collaborative"), node("t2")]
    usual, reviews = script(plan), reviewed(YES)
    run = TaskDrive(task(), lambda step: reviews(step) if step.definition.name == "review" else usual(step))
    assert "t1.judge2" in asked(run)
    assert not any(name.startswith("t2.") for name in asked(run))
    assert run.replayed()


@pytest.mark.parametrize(
    ("planned", "wanted", "score", "collaborate", "chosen"),
    [
        (None, None, 0.9, True, "direct"),
        (None, "auto", 0.2, True, "direct"),
        (None, "auto", 0.5, False, "iterative"),
        (None, "auto", 0.5, True, "collaborative"),
        (None, "iterative", 0.1, True, "iterative"),
        ("direct", "auto", 0.9, True, "direct"),
    ],
)
def test_auto_chooses_by_complexity_and_need(
    planned: Strategy | None, wanted: AskedStrategy | None, score: float, collaborate: bool, chosen: Strategy
) -> None:
    analysis = AnalyzeOutput(score, "standard", collaborate=collaborate)
    assert choose(planned, wanted, analysis, TaskSettings().simple_below) == chosen


@pytest.mark.parametrize(
    ("query", "needs"),
    [
        ("Verify the totals of the ledger", True), ("Double-check every number", True), ("核实这些数字", True),
        ("List the totals", False), ("这些数字的总和是多少", False),
    ],
)  # fmt: skip
def test_a_query_that_wants_certainty_needs_more_than_one_pair_of_eyes(query: str, needs: bool) -> None:
    assert needs_collaboration(query) is needs
