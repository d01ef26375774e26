"""Signals that people send to a task's workflow: named, with a JSON value, delivered once."""

from typing import Final

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.engines.base import Engine
from multiagent.storage.sql.base import CommandRow

OWN: Final = ("__", "approval/")
"""Names that begin so are the platform's: an approval is given by `approvals approve`, not by a signal."""

LONGEST: Final = 64 * 1024


class Signal(msgspec.Struct, frozen=True):
    """The payload of a ``signal`` command; ``value`` is JSON."""

    name: str
    value: msgspec.Raw = msgspec.Raw(b"null")


def checked(name: str, value: str) -> Signal:
    """Return a signal; InvalidInput for a name of the platform's own, a value that is no JSON, or one over 64 KiB."""
    if not name or name.startswith(OWN) or len(name) > 200 or not name.isprintable():
        raise InvalidInput(f"{name!r} is no name for a signal: printable, at most 200 characters, not one of {OWN}")
    data = value.encode("utf-8", "replace")
    if len(data) > LONGEST:
        raise InvalidInput(f"the signal's value has {len(data)} bytes; at most {LONGEST} are carried")
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the signal's value is no JSON ({error}); a text is written in quotes") from None
    return Signal(name, msgspec.Raw(data))


async def send(engine: Engine, command: CommandRow) -> None:
    """Hand a ``signal`` command to the engine, which takes it once by the command's id."""
    signal = msgspec.json.decode(command.payload, type=Signal)
    checked(signal.name, bytes(signal.value).decode())
    await engine.signal(command.tenant, command.task, signal.name, bytes(signal.value), command.id)
