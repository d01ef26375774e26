"""The view that events add up to, and what a finished task prints."""

import msgspec
import pytest

from multiagent.app.record import Record
from multiagent.cli import exits, report
from multiagent.cli.live import LiveView
from multiagent.cli.view import View, apply
from multiagent.core import errors, facts
from multiagent.core.errors import PlatformError
from multiagent.core.events import Event, EventHeader, EventKind
from multiagent.core.money import PICO
from multiagent.core.outcome import Failure
from multiagent.core.task import Source, TaskResult
from multiagent.core.usage import Bill, Usage


def _event(seq: int, kind: EventKind, fact: msgspec.Struct) -> Event:
    header = EventHeader(1, "t", f"e{seq}", "task", seq, f"w/{seq}", kind, 1000 * seq, "", "", "", "", "")
    return Event(header, msgspec.json.encode(fact))


STORY = [
    _event(1, EventKind.TASK_STARTED, facts.TaskStarted(5)),
    _event(2, EventKind.TASK_ANALYZED, facts.TaskAnalyzed(0.5, "standard", ("two files",))),
    _event(
        3,
        EventKind.TASK_PLANNED,
        facts.TaskPlanned((facts.PlannedTask("a", "First"), facts.PlannedTask("b", "Second", ("a",)))),
    ),
    _event(4, EventKind.AGENT_STARTED, facts.AgentStarted("a", "First")),
    _event(5, EventKind.AGENT_STATE, facts.AgentState("a", "acting", 1, "python", 120, 7)),
    _event(6, EventKind.AGENT_COMPLETED, facts.AgentEnded("a", "First", 150, 9)),
    _event(7, EventKind.AGENT_SKIPPED, facts.AgentSkipped("b", "Second", "the budget is used up")),
    _event(8, EventKind.BUDGET_ALERT, facts.BudgetAlert("alert", 81, 150, 9)),
    _event(9, EventKind.TASK_COMPLETED, facts.TaskEnded(150, 9, models=("m",))),
]


def test_events_add_up_to_the_state_of_the_dag() -> None:
    """States, edges, tokens, cost and time of each agent, and the task's own."""
    view = View("task")
    lines = [apply(view, event) for event in STORY]
    first, second = view.agents["a"], view.agents["b"]
    assert (first.state, first.tokens, first.cost_pico, first.elapsed(99_000)) == ("completed", 150, 9, 2000)
    assert (second.state, second.depends_on, second.elapsed(1)) == ("skipped", ("a",), 0)
    assert (view.status, view.mode, view.tokens, view.seq) == ("completed", "standard", 150, 9)
    assert all(lines)
    assert "81%" in view.notes[0]


def test_the_view_without_a_terminal_prints_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing at all where it is to be quiet."""
    with LiveView("01TASKIDENTITY") as live:
        for event in STORY:
            live.take(event)
    with LiveView("01TASKIDENTITY", quiet=True) as live:
        for event in STORY:
            live.take(event)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == len(STORY)
    assert "[ENTITY] a acting python" in printed.err


@pytest.mark.parametrize(
    ("kind", "fact", "line"),
    [
        (
            EventKind.MODEL_FALLBACK,
            facts.ModelFallback("turn", "v/default/-/m", "VENDOR_TIMEOUT", "did not answer", agent="a"),
            "a: v/default/-/m failed: did not answer",
        ),
        (
            EventKind.BUDGET_LOWERED,
            facts.BudgetLowered("synthesize", 4096, 700),
            "synthesize: the budget allows an answer of 700 tokens, not 4096",
        ),
        (
            EventKind.BUDGET_OVERRUN,
            facts.BudgetOverrun("turn", "v", "m", 9000, PICO, "a"),
            "v billed m above the bound that was reserved: 9000 tokens, $1.00",
        ),
        (
            EventKind.CACHE_HIT,
            facts.CacheHit("turn", "exact", "v", "m", PICO // 2, "a"),
            "a: an earlier answer of m served (exact cache), $0.50 saved",
        ),
        (EventKind.BUDGET_REFUSED, facts.BudgetRefused("turn", "BUDGET_BUSY", "held", agent="a"), "a: held"),
        (EventKind.MODEL_DENIED, facts.ModelDenied("decompose", ("no",)), "decompose may ask no model: no"),
    ],
)
def test_what_happens_on_the_way_to_an_answer_is_a_line(kind: EventKind, fact: msgspec.Struct, line: str) -> None:
    """Fallbacks, cache hits and what the budget does are seen as they happen."""
    assert apply(View("task"), _event(1, kind, fact)) == line


def test_an_event_that_a_later_version_wrote_is_passed_over() -> None:
    """No payload, or a kind the view does not draw: no line, and the number is remembered."""
    view = View("task")
    event = _event(4, EventKind.TASK_ATTESTED, facts.SynthesisStarted(1))
    assert apply(view, event) == ""
    assert apply(view, Event(STORY[3].header)) == ""
    assert view.seq == 4


def _record(**change: object) -> Record:
    bill = Bill(Usage(1000, 234), cost_pico=PICO // 80, saved_pico=5 * PICO, model_calls=3, tool_calls=2)
    result = TaskResult("The answer.", (Source("a.csv", "attachment", ("a", "b")),))
    base = Record("01T", "completed", "q", "simple", 1, 2500, "", result, None, bill, (), ("v/m",), False, False)
    return msgspec.structs.replace(base, **change)


def test_a_finished_task_prints_answer_sources_and_bill() -> None:
    """Everything a reader wants to know, after the answer."""
    text = report.text(_record())
    for part in (
        "The answer.",
        "---",
        "01T completed in 2.5 s",
        "a.csv (a, b)",
        "1,234",
        "$0.0125",
        "saved $5.00",
        "v/m",
    ):
        assert part in text
    assert "lost" not in text
    lost = report.text(_record(bill=Bill(lost_tokens=5, lost_pico=PICO)))
    assert "up to 5 tokens, $1.00" in lost


def test_an_answer_of_the_stand_in_says_so_and_no_other_does() -> None:
    """One line under the answer, whoever prints it; JSON has a field."""
    told = report.text(_record(offline=True))
    assert told.count("answered by the built-in offline model: fixed rules, no language model") == 1
    assert "offline model" not in report.text(_record())
    assert report.as_json(_record(offline=True))["offline"] is True


def test_the_json_of_a_task_has_exact_money() -> None:
    """Dollars are decimal text, never a float."""
    told = report.as_json(_record())
    assert told["bill"]["cost_usd"] == "0.0125"  # type: ignore[index]
    assert report.dollars(1) == "0.000000000001"
    assert report.dollars(PICO) == "1"


def test_a_failed_task_says_why_and_exits_by_its_code() -> None:
    """Budget, policy, vendor and the rest each have their own exit code."""
    for code, expected in [
        ("BUDGET_EXCEEDED", 4),
        ("POLICY_DENIED", 5),
        ("VENDOR_TIMEOUT", 6),
        ("NO_MODEL", 6),
        ("X", 3),
    ]:
        record = _record(status="failed", failure=Failure(code, "because"))
        assert report.exit_code(record) == expected
        assert f"error {code}: because" in report.text(record)
    assert report.exit_code(_record()) == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AttachmentRejected, exits.USAGE),
        (errors.NotFound, exits.NOT_FOUND),
        (errors.PolicyBroken, exits.DENIED),
        (errors.BudgetBusy, exits.BUDGET),
        (errors.NoModel, exits.VENDOR),
        (errors.StorageFull, exits.STORAGE),
        (errors.EngineOwned, exits.OWNED),
        (errors.SandboxUnbuilt, exits.SANDBOX),
        (errors.NonDeterminism, exits.DRIFTED),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: type[PlatformError], code: int) -> None:
    """A child has its parent's."""
    assert exits.of_error(error("x")) == code
