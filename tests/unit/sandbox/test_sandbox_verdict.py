"""What a worker's reply means."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import PlatformError, SandboxError, SandboxOutput, SandboxProtocol
from multiagent.sandbox.base import Limits
from multiagent.sandbox.frames import Reply, Status
from multiagent.sandbox.verdict import judge

LIMITS = Limits()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def envelope(value: str | None = None, error: object = None) -> str:
    return json.dumps({"value": value, "error": error})


def failed(kind: str, errno: int | None = None) -> Reply:
    error = {"type": kind, "message": "m", "traceback": "t", "errno": errno}
    return Reply(Status.DONE, envelope(error=error))


@given(json_values)
def test_a_value_comes_back_as_its_json(value: object) -> None:
    text = json.dumps(value)
    assert judge(Reply(Status.DONE, envelope(text)), LIMITS).value == text


@given(st.text() | json_values.map(json.dumps))
def test_whatever_a_guest_answers_is_a_result_or_a_protocol_error(said: str) -> None:
    """Nothing that a guest writes into its envelope raises anything else, or changes the host's measurements."""
    reply = Reply(Status.DONE, said, fuel_used=7)
    try:
        measured: object = judge(reply, LIMITS).metrics.fuel_used
    except SandboxProtocol as error:
        measured = error.details["fuel_used"]
    assert measured == 7


@given(st.dictionaries(st.sampled_from(["value", "error", "status", "metrics", "stdout"]), json_values))
def test_an_envelope_with_other_fields_is_thrown_away(fields: dict[str, object]) -> None:
    reply = Reply(Status.DONE, json.dumps(fields))
    if set(fields) == {"value", "error"}:
        return
    with pytest.raises(SandboxProtocol):
        judge(reply, LIMITS)


def test_a_value_nested_beyond_reason_is_a_protocol_error() -> None:
    with pytest.raises(SandboxProtocol):
        judge(Reply(Status.DONE, envelope("[" * 200_000 + "]" * 200_000)), LIMITS)


def test_a_value_is_measured_as_it_is_and_not_as_it_travelled() -> None:
    text = json.dumps('"' * 40)
    at, below = Limits(value_bytes=len(text)), Limits(value_bytes=len(text) - 1)
    assert judge(Reply(Status.DONE, envelope(text)), at).value == text
    with pytest.raises(SandboxOutput):
        judge(Reply(Status.DONE, envelope(text)), below)


def test_bytes_that_are_not_text_are_shown_as_such() -> None:
    assert judge(Reply(Status.DONE, envelope(), stdout=b"a\xffb"), LIMITS).stdout == "a\ufffdb"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.TIMEOUT, "SANDBOX_TIMEOUT"),
        (Status.FUEL, "SANDBOX_FUEL"),
        (Status.STACK, "SANDBOX_STACK"),
        (Status.OUTPUT, "SANDBOX_OUTPUT"),
        (Status.VALUE, "SANDBOX_OUTPUT"),
        (Status.MEMORY, "SANDBOX_MEMORY"),
        (Status.DENIED, "SANDBOX_DENIED"),
        (Status.EXIT, "SANDBOX_FAILED"),
        (Status.TRAP, "SANDBOX_FAILED"),
    ],
)
def test_each_way_to_be_stopped_has_its_error(status: Status, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        judge(Reply(status, stdout=b"so far", detail="why"), LIMITS)
    assert caught.value.code == code
    assert not caught.value.retryable
    assert caught.value.message
    assert caught.value.details["stdout"] == "so far"


def test_every_status_but_done_is_an_error() -> None:
    for status in set(Status) - {Status.DONE}:
        with pytest.raises(SandboxError):
            judge(Reply(status, envelope("1")), LIMITS)


@pytest.mark.parametrize(
    ("kind", "errno", "code"),
    [
        ("MemoryError", None, "SANDBOX_MEMORY"),
        ("RecursionError", None, "SANDBOX_STACK"),
        ("SandboxDenied", None, "SANDBOX_DENIED"),
        ("PermissionError", 63, "SANDBOX_DENIED"),
        ("PermissionError", 2, "SANDBOX_DENIED"),
        ("OSError", 76, "SANDBOX_DENIED"),
        ("OSError", 22, "SANDBOX_DISK"),
    ],
)
def test_an_exception_that_stands_for_a_limit_is_that_limit(kind: str, errno: int | None, code: str) -> None:
    with pytest.raises(PlatformError) as caught:
        judge(failed(kind, errno), LIMITS)
    assert (caught.value.code, caught.value.details["traceback"]) == (code, "t")


@pytest.mark.parametrize(("kind", "errno"), [("ValueError", None), ("FileNotFoundError", 44)])
def test_any_other_exception_is_the_program_s_result(kind: str, errno: int | None) -> None:
    result = judge(failed(kind, errno), LIMITS)
    assert result.error is not None
    assert (result.error.type, result.value) == (kind, "null")


def test_replies_survive_the_wire() -> None:
    reply = Reply(Status.DONE, "{}", b"a", b"b", fuel_used=2**60, peak_memory_bytes=None)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=Reply) == reply
