"""What the step wrapper writes, what it tries again, and what it leaves alone."""

import pytest

from multiagent.core.errors import (
    BudgetBusy,
    EngineUnavailable,
    PlatformError,
    StepTimeout,
    StorageCorrupt,
    StorageFull,
    StorageUnavailable,
    ToolError,
    VendorRateLimited,
    VendorUnavailable,
)
from multiagent.core.events import EventKind
from multiagent.core.outcome import Failure
from multiagent.core.step import StepDef, StepPolicy
from multiagent.engines.attempt import Ended, Work, ended_ops, poisoned, retryable, start_op, started_op
from tests.unit.engines.drive import Number

WORK = Work(
    "tenant",
    "task",
    "a2/think/3",
    StepDef("think", Number, Number, "llm", StepPolicy(deadline=60)),
    Number(1),
    "hash",
    "agent/a2",
    "user/u",
    "analyze~12345678",
)


@pytest.mark.parametrize("error", [StorageUnavailable, StorageFull, EngineUnavailable])
def test_the_platforms_own_passing_trouble_is_tried_again(error: type[PlatformError]) -> None:
    assert retryable(error("trouble"))


@pytest.mark.parametrize(
    "error", [VendorUnavailable, VendorRateLimited, BudgetBusy, ToolError, StorageCorrupt, StepTimeout]
)
def test_what_others_own_and_what_never_mends_is_final(error: type[PlatformError]) -> None:
    assert not retryable(error("trouble"))
    assert not retryable(ValueError("trouble"))


def test_a_lease_lasts_as_long_as_the_steps_deadline() -> None:
    op = start_op(WORK, "owner", 1000)
    assert (op.key, op.input_hash, op.lease_until) == ("a2/think/3", "hash", 61_000)


def test_events_of_a_step_are_keyed_by_step_attempt_kind_and_number() -> None:
    first = started_op(WORK, 2, 1000).event
    assert (first.key, first.kind) == ("a2/think/3/2/step.started/1", EventKind.STEP_STARTED)
    assert (first.principal, first.on_behalf_of, first.cause) == ("agent/a2", "user/u", "analyze~12345678")
    store, last = ended_ops(WORK, Ended(2, 5, 900, b"{}"), "owner", 1000)
    assert last.event.key == "a2/think/3/2/step.completed/5"
    assert b'"elapsed_ms":100' in last.event.payload
    assert (store.value, store.ref, store.error) == (b"{}", "", None)


def test_a_large_result_is_stored_by_reference_only() -> None:
    store, _ = ended_ops(WORK, Ended(1, 2, 0, b"large", "address"), "owner", 1000)
    assert (store.value, store.ref) == (b"", "address")


def test_a_failure_is_stored_with_its_code() -> None:
    store, last = ended_ops(WORK, Ended(1, 2, 0, error=Failure("TOOL_FAILED", "no")), "owner", 1000)
    assert store.error == Failure("TOOL_FAILED", "no")
    assert last.event.kind is EventKind.STEP_FAILED
    assert b'"code":"TOOL_FAILED"' in last.event.payload


def test_a_poisoned_step_says_how_often_it_took_its_process_down() -> None:
    failure = poisoned(WORK, 3)
    assert failure.code == "STEP_POISONED"
    assert failure.details == {"deaths": 3}
    assert "3 times" in failure.message
