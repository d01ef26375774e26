"""Retention and forgetting as commands: what a terminal leaves for the owner of the home."""

import msgspec

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.storage.sql.base import CommandRow, Writer
from multiagent.storage.sql.keeping import ForgetSession, PruneTask, SweepMessages

KINDS = ("prune", "forget")


class Pruned(msgspec.Struct, frozen=True):
    """A task to prune, and where its archive is (empty: there is none)."""

    task: str
    archive: str = ""


class Pruning(msgspec.Struct, frozen=True):
    """The payload of a ``prune`` command."""

    tasks: tuple[Pruned, ...]


async def keep(writer: Writer, command: CommandRow, now: int) -> None:
    """Do a ``prune`` or a ``forget``; NotFound for a session that is not there, InvalidInput for an odd command."""
    try:
        if command.kind == "forget":
            session = command.payload.decode()
            (found,) = await writer.commit(ForgetSession(tenant=command.tenant, session=session))
            if not found:
                raise NotFound(
                    f"there is no session {session!r} here; `multiagent sessions list` shows those there are"
                )
            return
        wanted = msgspec.json.decode(command.payload, type=Pruning)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the command was left by another version of the program; ask again ({error})") from error
    await prune(writer, command.tenant, wanted.tasks, now)


async def prune(writer: Writer, tenant: str, tasks: tuple[Pruned, ...], now: int) -> None:
    """Prune tasks, each in a commit of its own, then delete the messages that nothing refers to any more."""
    for one in tasks:
        await writer.commit(PruneTask(tenant=tenant, id=one.task, time=now, archive=one.archive))
    await writer.commit(SweepMessages(tenant=tenant, time=now))
