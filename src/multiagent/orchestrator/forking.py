"""Forks as commands: what a terminal leaves for the owner. The command's id becomes the new task's."""

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.travel import AtRow, Changes
from multiagent.engines.base import Engine
from multiagent.storage.sql.base import CommandRow


class Forking(msgspec.Struct, frozen=True):
    """The payload of a ``fork`` command: whose past, how many of its outcomes, and what is changed from there."""

    parent: str
    cut: int
    changes: Changes = Changes()


async def fork(engine: Engine, command: CommandRow) -> None:
    """Have a fork begun; raises what ``Engine.fork`` raises, InvalidInput for a command that cannot be read."""
    try:
        wanted = msgspec.json.decode(command.payload, type=Forking)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the fork was asked for by another version of the program; ask again ({error})") from error
    await engine.fork(command.tenant, command.id, wanted.parent, AtRow(wanted.cut), wanted.changes)
