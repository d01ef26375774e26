"""How attachments are described to models: kind, lines and the beginning of their text."""

import msgspec

from multiagent.agents.memo import Memo
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects

HEAD_CHARS = 1500
_HEAD_BYTES = HEAD_CHARS * 4 + 4
_DELIMITERS = ("\t", ",", ";", "|")


class Described(msgspec.Struct, frozen=True):
    """One attachment as a prompt names it. ``kind`` is table, text, json, pdf or binary; ``lines`` 0 where there are
    none.
    """

    name: str
    media_type: str
    size: int
    kind: str
    lines: int
    head: str


class Describer:
    """Reads each object once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._memo: Memo[tuple[int, str]] = Memo(256)

    async def describe(self, tenant: str, attachment: Attachment) -> Described:
        """Return the description of an attachment; NotFound where its object is gone."""
        if attachment.media_type == "application/pdf":
            lines, head = 0, ""
        else:
            known = self._memo.get(tenant, attachment.object)
            lines, head = known or self._memo.put(tenant, attachment.object, await self._read(tenant, attachment))
        kind = kind_of(attachment.name, attachment.media_type, head)
        return Described(attachment.name, attachment.media_type, attachment.size, kind, lines, head)

    async def _read(self, tenant: str, attachment: Attachment) -> tuple[int, str]:
        first, lines, last = b"", 0, b"\n"
        async for piece in self._objects.stream(tenant, attachment.object):
            if len(first) < _HEAD_BYTES:
                first += piece[: _HEAD_BYTES - len(first)]
            lines += piece.count(b"\n")
            last = piece[-1:] or last
        text = first.decode("utf-8-sig", "ignore")
        return lines + (last != b"\n"), text[:HEAD_CHARS]


def kind_of(name: str, media_type: str, head: str) -> str:
    """Return what kind of file this is, from its name, media type and beginning."""
    if media_type == "application/pdf":
        return "pdf"
    if media_type == "application/json" or name.lower().endswith(".json"):
        return "json"
    if media_type in ("text/csv", "text/tab-separated-values") or is_table(head):
        return "table"
    return "text" if media_type.startswith("text/") else "binary"


def is_table(text: str) -> bool:
    """Tell whether text looks like a delimited table: at least three lines (comments aside) of which most have the
    same number, over one, of fields.
    """
    lines = [line for line in text.splitlines()[:-1] if line.strip() and not line.startswith("#")]
    if len(lines) < 3:
        return False
    for delimiter in _DELIMITERS:
        counts = [line.count(delimiter) for line in lines]
        usual = max(counts, key=counts.count)
        if usual and counts.count(usual) >= 0.7 * len(counts) and not _is_prose(lines, delimiter):
            return True
    return False


def _is_prose(lines: list[str], delimiter: str) -> bool:
    """Commas of sentences are no delimiters: there, a blank follows them and lines are long."""
    return delimiter == "," and sum(line.count(", ") == line.count(",") for line in lines) > 0.7 * len(lines)
