"""Signals that people send: checked at the door, and once more where they are handed over."""

from typing import Any

import msgspec
import pytest

from multiagent.core.errors import InvalidInput
from multiagent.orchestrator.signals import LONGEST, Signal, checked, send
from multiagent.storage.sql.base import CommandRow


class _Engine:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 - the port's name
        self.sent.append((tenant, task, name, value.decode(), id))


def _command(payload: bytes) -> CommandRow:
    return CommandRow("local", "c1", "t1", "signal", payload, b"{}", 0)


async def test_a_signal_reaches_the_engine_with_its_commands_id() -> None:
    engine: Any = _Engine()
    await send(engine, _command(msgspec.json.encode(checked("weather", '{"rain": true}'))))
    assert engine.sent == [("local", "t1", "weather", '{"rain": true}', "c1")]


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "1"), ("__pause", "1"), ("approval/A1", '{"approved":true}'), ("a\nb", "1"), ("x" * 201, "1")],
)
async def test_names_of_the_platforms_own_are_refused(name: str, value: str) -> None:
    """At the door, and again where a command was written past it."""
    with pytest.raises(InvalidInput, match="no name for a signal"):
        checked(name, value)
    engine: Any = _Engine()
    with pytest.raises(InvalidInput):
        await send(engine, _command(msgspec.json.encode(Signal(name, msgspec.Raw(value.encode())))))
    assert engine.sent == []


@pytest.mark.parametrize("value", ["{", "yes", '"' + "x" * LONGEST + '"'])
def test_a_value_is_json_of_a_bounded_size(value: str) -> None:
    with pytest.raises(InvalidInput, match="value"):
        checked("weather", value)
