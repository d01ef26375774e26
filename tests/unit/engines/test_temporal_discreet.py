"""What is said of Temporal's trouble: where and what, never what a run carries."""

import logging

import pytest
from temporalio.exceptions import ApplicationError

from multiagent.core.errors import EngineError, NonDeterminism, StepFailed
from multiagent.core.outcome import Outcome, Patch
from multiagent.engines.temporal.connect import Discreet
from multiagent.engines.temporal.history import compare_fed
from multiagent.engines.temporal.quarantine import told_by

PLACES = "({'activity_id': 'chain/0~1', 'attempt': 2, 'workflow_id': 'task', 'input': 'secret'})"


def said(text: str, *args: object, error: Exception | None = None) -> str:
    raised = None if error is None else (type(error), error, None)
    record = logging.LogRecord("temporalio.activity", logging.WARNING, "", 1, text, args, raised)
    Discreet().filter(record)
    return logging.Formatter().format(record)


def test_a_line_keeps_where_it_happened_and_the_kind_of_error() -> None:
    line = said(f"Completing activity as failed {PLACES}", error=ApplicationError("secret"))
    assert line == (
        "Completing activity as failed ('activity_id': 'chain/0~1', 'attempt': 2, 'workflow_id': 'task')"
        " [ApplicationError]"
    )


def test_arguments_texts_after_a_colon_and_texts_of_steps_are_left_out() -> None:
    assert said("Completing activity with completion: %s", "secret") == "Completing activity with completion"
    assert said("Completing as failure with error of type X: secret") == "Completing as failure with error of type X"
    assert "secret" not in said("Failed", error=StepFailed("TOOL_FAILED", "secret"))
    assert "secret" not in said("Failed", error=ValueError("secret"))


def test_what_the_engine_itself_says_is_kept() -> None:
    assert said("Failed", error=EngineError("a key is missing")) == "Failed [EngineError: a key is missing]"


def test_a_drift_that_the_library_tells_of_names_what_was_recorded_and_what_was_found() -> None:
    drift = told_by(
        "[TMPRL1100] Nondeterminism error: Activity id of scheduled event 'chain/0~01234567' does not match activity "
        "id of activity command 'other/a~89abcdef'"
    )
    assert drift.details == {
        "step": "chain/0~01234567", "recorded": "chain/0~01234567", "found": "other/a~89abcdef",
    }  # fmt: skip
    assert told_by("something else").message == "something else"
    assert told_by("").details == {}


def row(n: int, **changed: object) -> Outcome:
    return Outcome(n, "result", f"step/{n}~00000000", n, digest="d", **changed)  # type: ignore[arg-type]


def test_a_journal_may_lag_behind_the_server_until_it_has_ended_and_never_lead() -> None:
    fed = {n: row(n) for n in (1, 2, 3)}
    compare_fed("task", fed, [row(1, event_seq=7), row(2)])
    ended = [row(1), Outcome(2, "end", "completed", 2)]
    with pytest.raises(NonDeterminism, match="outcome 3"):
        compare_fed("task", {1: row(1), 2: ended[1], 3: row(3)}, ended)
    with pytest.raises(NonDeterminism, match="outcome 4"):
        compare_fed("task", fed, [row(n) for n in (1, 2, 3, 4)])
    compare_fed("task", {3: row(3)}, [row(1), row(2), row(3)], first=3)


def test_a_patch_that_was_not_taken_is_only_asked_for_by_newer_code() -> None:
    compare_fed("task", {1: row(1, patches=(Patch("new", taken=False),))}, [row(1)])
    with pytest.raises(NonDeterminism):
        compare_fed("task", {1: row(1, patches=(Patch("new", taken=True),))}, [row(1)])
