"""Text of PDF files, through a worker process with a deadline: a hostile file can take down no more than that."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from multiagent.core.errors import AttachmentRejected, ToolTimeout
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects
from multiagent.tools.builtin.given import laid_out

DEADLINE_S: Final = 30.0
MOST_PAGES: Final = 2_000
MOST_CHARACTERS: Final = 8 << 20
_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


class PdfText(msgspec.Struct, frozen=True):
    """The text of each page read, of ``total`` pages; or why there is none."""

    pages: tuple[str, ...] = ()
    total: int = 0
    error: str = ""

    @property
    def text(self) -> str:
        """All pages, each under a line that names it."""
        return "".join(
            f"--- page {number} of {self.total} ---\n{page.rstrip()}\n" for number, page in enumerate(self.pages, 1)
        )


async def pdf_text(objects: Objects, tenant: str, attachment: Attachment, deadline_s: float = DEADLINE_S) -> PdfText:
    """Return the text of a PDF attachment.

    Raises AttachmentRejected (protected, damaged, or its parser died on it), ToolTimeout.
    """
    async with _as_file(objects, tenant, attachment) as path:
        command = (sys.executable, "-P", "-m", "multiagent.tools.builtin.pdf_worker", str(path), str(MOST_PAGES))
        process = await asyncio.create_subprocess_exec(
            *command,
            str(MOST_CHARACTERS),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        try:
            async with asyncio.timeout(deadline_s):
                answer, _ = await process.communicate()
        except TimeoutError:
            raise ToolTimeout(f"{attachment.name} could not be read within {deadline_s:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return _read(attachment, answer)


def _environment() -> dict[str, str]:
    """What the worker needs to start, and no secret of the platform's."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def _read(attachment: Attachment, answer: bytes) -> PdfText:
    try:
        found = msgspec.json.decode(answer, type=PdfText)
    except msgspec.MsgspecError as error:
        raise AttachmentRejected(f"{attachment.name} cannot be read: the PDF parser failed on it") from error
    if found.error:
        raise AttachmentRejected(f"{attachment.name} cannot be read: {found.error}")
    return found


@asynccontextmanager
async def _as_file(objects: Objects, tenant: str, attachment: Attachment) -> AsyncIterator[Path]:
    stored = await objects.local_path(tenant, attachment.object)
    if stored is not None:
        yield stored
        return
    name = "file.pdf"
    async with laid_out(objects, tenant, (msgspec.structs.replace(attachment, name=name),)) as folder:
        yield Path(folder, name)
