"""The attachments a tool was given: found by name, and laid out as read-only files for a program."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from multiagent.core.errors import ToolArguments
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects
from multiagent.tools.base import ToolContext

_PREFIX: Final = "multiagent-data-"


def attachment(context: ToolContext, name: str) -> Attachment:
    """Return the attachment of that name (a leading ``/data/`` is overlooked); ToolArguments lists those there are."""
    plain = name.removeprefix("/data/")
    for one in context.attachments:
        if one.name == plain:
            return one
    there = ", ".join(one.name for one in context.attachments) or "none"
    raise ToolArguments(f"there is no attachment {plain[:80]!r}; there are: {there}")


def attachments(context: ToolContext, names: Iterable[str]) -> tuple[Attachment, ...]:
    """Return the attachments of those names, each once."""
    return tuple({one.name: one for one in (attachment(context, name) for name in names)}.values())


def clear_scratch(scratch: str) -> None:
    """Make the folder where missing, and drop what a process that was killed has left in it."""
    Path(scratch).mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in Path(scratch).glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


@asynccontextmanager
async def laid_out(
    objects: Objects, tenant: str, given: tuple[Attachment, ...], scratch: str = ""
) -> AsyncIterator[str]:
    """Yield a folder that holds the attachments under their names, for as long as the context is open.

    Files of a local store are linked where the file system allows, else copied. ToolArguments where a name is not a
    plain file name.
    """
    for one in given:
        if not one.name or one.name in {".", ".."} or "/" in one.name or "\0" in one.name:
            raise ToolArguments(f"the attachment name {one.name!r} is not a plain file name")
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX, dir=scratch or None)
    try:
        for one in given:
            await _lay(objects, tenant, one, Path(folder, one.name))
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _lay(objects: Objects, tenant: str, one: Attachment, path: Path) -> None:
    stored = await objects.local_path(tenant, one.object)
    if stored is not None:
        await asyncio.to_thread(_link_or_copy, stored, path)
        return
    with path.open("wb") as file:
        async for piece in objects.stream(tenant, one.object):
            await asyncio.to_thread(file.write, piece)


def _link_or_copy(stored: Path, path: Path) -> None:
    try:
        os.link(stored, path)
    except OSError:
        shutil.copyfile(stored, path)
