"""What the Temporal server gets to see: sealed payloads, error codes, and nothing else."""

import base64
from pathlib import Path

import msgspec
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure as WireFailure
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeout
from temporalio.service import RPCError, RPCStatusCode

from multiagent.core.errors import ConfigInvalid, EngineError, EngineUnavailable, NotFound, StorageError
from multiagent.core.outcome import Failure
from multiagent.engines.temporal.codec import LARGE, TENANT, SealingCodec
from multiagent.engines.temporal.converter import RecordConverter, converter_with, payload_of, raw, read
from multiagent.engines.temporal.faults import from_temporal, of_rpc, to_temporal
from multiagent.engines.temporal.options import key_id
from multiagent.engines.temporal.records import Sent
from multiagent.storage.objects.local import LocalObjects

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def activity_error(cause: BaseException) -> ActivityError:
    """What a workflow sees of a failed activity."""
    error = ActivityError(
        "failed", scheduled_event_id=1, started_event_id=2, identity="", activity_type="work",
        activity_id="chain/0~12345678", retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )  # fmt: skip
    error.__cause__ = cause
    return error


async def test_records_bytes_and_nothing_come_back_as_they_were(objects: LocalObjects) -> None:
    converter = converter_with(SealingCodec(KEY, (), objects))
    sealed = await converter.encode([Sent("go~1", b"secret"), b"secret", None, {"a": [1]}])
    assert not any(b"secret" in payload.SerializeToString() for payload in sealed)
    assert not any(base64.b64encode(b"secret") in payload.SerializeToString() for payload in sealed)
    assert await converter.decode(sealed, [Sent, bytes, type(None), dict]) == [
        Sent("go~1", b"secret"), b"secret", None, {"a": [1]},
    ]  # fmt: skip
    assert await converter.decode(sealed[3:]) == [{"a": [1]}]


async def test_a_raw_value_is_left_as_it_is_and_read_as_the_record_it_is(objects: LocalObjects) -> None:
    converter = converter_with(SealingCodec(KEY, (), objects))
    sealed = await converter.encode([raw(Sent("go~1"))])
    (value,) = await converter.decode(sealed, [RawValue])
    assert read(value, Sent) == Sent("go~1")
    with pytest.raises(EngineError, match="is no Failure"):
        read(value, Failure)


async def test_a_large_payload_is_kept_in_objects_sealed(objects: LocalObjects, tmp_path: Path) -> None:
    codec = SealingCodec(KEY, (), objects)
    long = payload_of(b"secret" * LARGE)
    (sealed,) = await codec.encode([long])
    assert len(sealed.SerializeToString()) < 500
    assert await codec.decode([sealed]) == [long]
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert b"secret" not in kept.read_bytes()
    assert kept.relative_to(tmp_path).parts[0] == TENANT
    kept.unlink()
    with pytest.raises((NotFound, StorageError)):
        await codec.decode([sealed])


async def test_what_an_old_key_sealed_is_read_and_what_an_unknown_one_sealed_is_not(objects: LocalObjects) -> None:
    (sealed,) = await SealingCodec(OTHER, (), objects).encode([payload_of(b"text")])
    assert await SealingCodec(KEY, (OTHER,), objects).decode([sealed]) == [payload_of(b"text")]
    with pytest.raises(EngineError, match=key_id(OTHER)):
        await SealingCodec(KEY, (), objects).decode([sealed])


async def test_the_log_names_a_key_that_is_missing_once(
    objects: LocalObjects, caplog: pytest.LogCaptureFixture
) -> None:
    (sealed,) = await SealingCodec(OTHER, (), objects).encode([payload_of(b"text")])
    codec = SealingCodec(KEY, (), objects)
    for _ in range(3):
        with pytest.raises(EngineError):
            await codec.decode([sealed])
    (said,) = caplog.messages
    assert key_id(OTHER) in said
    assert "temporal.key_file" in said


async def test_a_tampered_a_foreign_and_a_cut_payload_are_refused(objects: LocalObjects) -> None:
    codec = SealingCodec(KEY, (), objects)
    (sealed,) = await codec.encode([payload_of(b"text")])
    for data in (sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]), sealed.data[:5], b""):
        with pytest.raises(EngineError, match="tampered"):
            await codec.decode([Payload(metadata=dict(sealed.metadata), data=data)])
    converter = converter_with(codec)
    for hint in (Sent, bytes):
        with pytest.raises(EngineError, match="not encrypted by this platform"):
            await converter.decode([payload_of("ACTIVITY_ID_NOT_STARTED")], [hint])
    assert await converter.decode([payload_of("ACTIVITY_ID_NOT_STARTED")]) == [None]


def test_a_key_of_another_length_is_refused(objects: LocalObjects) -> None:
    with pytest.raises(ConfigInvalid, match="32 bytes"):
        SealingCodec(b"short", (), objects)


async def test_a_failure_crosses_by_its_code_and_its_text_is_sealed(objects: LocalObjects) -> None:
    converter = converter_with(SealingCodec(KEY, (), objects))
    failure = Failure("TOOL_FAILED", "a secret", True, {"tool": "x"})
    wire = WireFailure()
    await converter.encode_failure(to_temporal(failure), wire)
    assert b"secret" not in wire.SerializeToString()
    assert wire.application_failure_info.type == "TOOL_FAILED"
    assert wire.application_failure_info.non_retryable
    assert from_temporal(activity_error(await converter.decode_failure(wire))) == failure


def test_cancels_timeouts_and_foreign_errors_have_codes_of_ours() -> None:
    timeout = TemporalTimeout("late", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
    assert from_temporal(activity_error(timeout)).code == "STEP_DEADLINE"
    assert "chain/0" in from_temporal(activity_error(timeout)).message
    lost = TemporalTimeout("lost", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[])
    assert from_temporal(activity_error(lost)) == msgspec.structs.replace(
        from_temporal(activity_error(lost)), code="STEP_TIMEOUT", retryable=True
    )
    assert from_temporal(activity_error(CancelledError("x"))).code == "CANCELLED"
    assert from_temporal(activity_error(ValueError("odd"))) == Failure("INTERNAL", "ValueError: odd")
    assert from_temporal(ApplicationError("odd", "not a record", type="X")) == Failure("X", "odd")


def test_refused_calls_of_the_server_are_our_errors() -> None:
    def of(status: RPCStatusCode) -> Exception:
        return of_rpc(RPCError("secret text", status, b""), "host:1", "task 7")

    assert isinstance(of(RPCStatusCode.NOT_FOUND), NotFound)
    assert isinstance(of(RPCStatusCode.UNAVAILABLE), EngineUnavailable)
    assert "is it running?" in str(of(RPCStatusCode.DEADLINE_EXCEEDED))
    assert str(of(RPCStatusCode.PERMISSION_DENIED)).endswith("task 7: PERMISSION_DENIED")
    assert "secret" not in str(of(RPCStatusCode.PERMISSION_DENIED))


def test_the_converter_reads_what_the_library_writes_itself() -> None:
    assert RecordConverter().from_payloads(RecordConverter().to_payloads(["a text", 3])) == ["a text", 3]
