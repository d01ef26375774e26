"""What crosses to Temporal as payloads: records as JSON, bytes as they are, raw values untouched."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConverter

from multiagent.core.errors import EngineError
from multiagent.engines.kernel import decoder, encode

T = TypeVar("T")
ENCODING: Final = "encoding"
FOREIGN: Final = b"multiagent/foreign"
"""What was not written by this platform: nothing is read of it."""
_JSON: Final = b"json/plain"
_BYTES: Final = b"binary/plain"
_NULL: Final = b"binary/null"


class RecordConverter(PayloadConverter):
    """Records, and what else msgspec writes as JSON; bytes; nothing; raw values."""

    def to_payloads(self, values: Sequence[object]) -> list[Payload]:
        """One payload a value."""
        return [payload_of(value) for value in values]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[object]:
        """One value a payload, of the hinted types; without hints JSON becomes what it looks like."""
        hints: Sequence[Any] = type_hints or [Any] * len(payloads)
        return [_value(payload, hint) for payload, hint in zip(payloads, hints, strict=True)]


class SecretiveFailures(DefaultFailureConverter):
    """Failures whose message and trace are a payload too, so that the codec encrypts them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def payload_of(value: object) -> Payload:
    """Return a value as one payload."""
    if isinstance(value, RawValue):
        return value.payload
    if value is None:
        return Payload(metadata={ENCODING: _NULL})
    if isinstance(value, bytes):
        return Payload(metadata={ENCODING: _BYTES}, data=value)
    return Payload(metadata={ENCODING: _JSON}, data=encode(value))


def raw(value: object) -> RawValue:
    """Return a value as Temporal's API takes it where the type is dynamic."""
    return RawValue(payload_of(value))


def read(value: RawValue, record: type[T]) -> T:
    """Return a raw value as the record it is; EngineError where it is none."""
    return read_payload(value.payload, record)


def read_payload(payload: Payload, record: type[T]) -> T:
    """Return a payload as the record it is; EngineError where it is none."""
    if payload.metadata.get(ENCODING) == FOREIGN:
        raise EngineError("a payload on the Temporal server is not encrypted by this platform; it is not read")
    try:
        return decoder(record).decode(payload.data)
    except msgspec.MsgspecError as error:
        raise EngineError(
            f"a payload of {len(payload.data)} bytes is no {record.__name__}: was it written by another version?"
        ) from error


def converter_with(codec: PayloadCodec) -> DataConverter:
    """Return how client and workers convert, with a codec for all that is stored on the server."""
    return DataConverter(
        payload_converter_class=RecordConverter, payload_codec=codec, failure_converter_class=SecretiveFailures
    )


def _value(payload: Payload, hint: Any) -> object:  # noqa: ANN401 — whatever the library hands over
    if hint is RawValue:
        return RawValue(payload)
    encoding = payload.metadata.get(ENCODING, b"")
    if encoding == _NULL or (encoding == FOREIGN and hint is Any):
        return None
    return payload.data if encoding == _BYTES else read_payload(payload, hint)
