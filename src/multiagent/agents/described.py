"""How attachments are described to models: kind, lines, encoding and the beginning of their text."""

import msgspec

from multiagent.core.errors import ToolTimeout
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects
from multiagent.tools.builtin.kinds import Kind
from multiagent.tools.builtin.reading import AttachmentReader, Inspection


class Described(msgspec.Struct, frozen=True):
    """One attachment as a prompt names it. ``lines`` is 0 for binary; ``encoding`` is empty there."""

    name: str
    media_type: str
    size: int
    kind: Kind
    lines: int
    head: str
    encoding: str = ""


class Describer:
    """Describes attachments as the tools read them; each content is read once."""

    def __init__(self, objects: Objects) -> None:
        self._reader = AttachmentReader(objects)

    async def describe(self, tenant: str, attachment: Attachment) -> Described:
        """Return the description of an attachment; NotFound where its object is gone.

        One that cannot be read in time is described as binary: its agents may still go on without it.
        """
        try:
            found = await self._reader.inspect(tenant, attachment)
        except ToolTimeout:
            found = Inspection("binary")
        name, media_type, size = attachment.name, attachment.media_type, attachment.size
        return Described(name, media_type, size, found.kind, found.lines, found.head, found.encoding)
