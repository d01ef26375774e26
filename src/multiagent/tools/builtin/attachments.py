"""The attached files as a tool: list them, read a part, search."""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from multiagent.core.errors import AttachmentRejected, ToolArguments
from multiagent.core.label import join
from multiagent.core.task import Attachment
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import Inspected, ToolContext, ToolOutput
from multiagent.tools.builtin.given import attachment
from multiagent.tools.builtin.reading import AttachmentReader
from multiagent.tools.schema import decode_arguments, schema_of

LINES: Final = 200
HITS: Final = 20
_MOST_CHARACTERS: Final = 40_000
_SHOWN: Final = 400
_DESCRIPTION = """List, read or search the attached files (text, Markdown, CSV, TSV, JSON, PDF).

list: what there is. read: lines of one file (`name`), from `offset` (lines to skip), at most `limit`. search: lines
that hold `query`, in one file or in all."""


class AttachmentsArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model gives."""

    action: Literal["list", "read", "search"]
    name: Annotated[str, msgspec.Meta(description="the file; needed to read")] = ""
    query: Annotated[str, msgspec.Meta(description="what to search for; needed to search", max_length=500)] = ""
    offset: Annotated[int, msgspec.Meta(ge=0, description="lines to skip")] = 0
    limit: Annotated[int, msgspec.Meta(ge=0, le=5000, description="lines, or hits of a search; 0 means the usual")] = 0


class AttachmentsTool:
    """Reads what the context holds and nothing else."""

    def __init__(self, reader: AttachmentReader) -> None:
        self._reader = reader
        self._spec = ToolSpec("attachments", _DESCRIPTION, schema_of(AttachmentsArguments), "data", timeout_s=60.0)

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._spec

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check the arguments; policy learns of the labels of the files."""
        given = decode_arguments(arguments, AttachmentsArguments)
        return Inspected(labels=join(*(one.labels for one in _files(given, context))))

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Answer. Raises ToolArguments, StorageError's children, NotFound."""
        given = decode_arguments(arguments, AttachmentsArguments)
        files = _files(given, context)
        if given.action == "list":
            return ToolOutput(await self._list(files, context), labels=join(*(one.labels for one in files)))
        try:
            if given.action == "read":
                content = await self._read(files[0], given, context)
            else:
                content, files = await self._search(files, given, context)
        except AttachmentRejected as error:
            raise ToolArguments(error.message) from error
        return ToolOutput(
            content, labels=join(*(one.labels for one in files)), sources=tuple(one.name for one in files)
        )

    async def _list(self, files: Sequence[Attachment], context: ToolContext) -> str:
        lines = []
        for one in files:
            what = await self._reader.inspect(context.principal.tenant, one)
            told = f", {what.lines} lines, {what.encoding}" if what.kind != "binary" else ", cannot be read as text"
            lines.append(f"{one.name}: {what.kind}, {one.media_type}, {one.size} bytes{told}")
        return "\n".join(lines) or "no files are attached"

    async def _read(self, file: Attachment, given: AttachmentsArguments, context: ToolContext) -> str:
        tenant = context.principal.tenant
        what = await self._reader.inspect(tenant, file)
        most = given.limit or LINES
        taken: list[str] = []
        passed = 0
        async for lines in self._reader.blocks(tenant, file):
            taken += lines[max(0, given.offset - passed) :][: most - len(taken)]
            passed += len(lines)
            if len(taken) == most:
                break
        taken = _fitting(taken)
        if not taken:
            return f"[{file.name}: {what.kind}, {what.lines} lines; nothing after line {given.offset}]"
        last = given.offset + len(taken)
        more = f"; more from offset {last}" if last < what.lines else ""
        head = f"[{file.name}: {what.kind}, {what.encoding}, lines {given.offset + 1}-{last} of {what.lines}{more}]"
        return "\n".join([head, *taken])

    async def _search(
        self, files: Sequence[Attachment], given: AttachmentsArguments, context: ToolContext
    ) -> tuple[str, tuple[Attachment, ...]]:
        """Search every file; lines that hold the whole query come before lines that hold its words."""
        most = given.limit or HITS
        search = _Search(given.query, given.offset + most)
        unread: list[str] = []
        for one in files:
            try:
                passed = 0
                async for lines in self._reader.blocks(context.principal.tenant, one):
                    for number, line in enumerate(lines, passed + 1):
                        search.offer(one, number, line)
                    passed += len(lines)
            except AttachmentRejected as error:
                if given.name:
                    raise
                unread.append(error.message)
        hits = search.best()[given.offset : given.offset + most]
        head = f"[{search.found} lines match {given.query!r}; {len(hits)} shown]"
        shown = [f"{one.name}:{number}: {line}" for one, number, line in hits]
        return "\n".join([head, *shown, *unread]), tuple({one.name: one for one, _, _ in hits}.values())


Hit = tuple[Attachment, int, str]


class _Search:
    """Collects lines that hold all of a query, or else all of its words; bounded."""

    def __init__(self, query: str, most: int) -> None:
        self._query = _fold(query)
        self._words = self._query.split()
        self._most = most
        self._whole: list[Hit] = []
        self._parts: list[Hit] = []
        self.found = 0

    def offer(self, file: Attachment, number: int, line: str) -> None:
        folded = _fold(line)
        if self._query in folded:
            self._keep(self._whole, (file, number, line))
        elif len(self._words) > 1 and all(word in folded for word in self._words):
            self._keep(self._parts, (file, number, line))

    def _keep(self, kept: list[Hit], hit: Hit) -> None:
        self.found += 1
        if len(kept) < self._most:
            file, number, line = hit
            kept.append((file, number, line if len(line) <= _SHOWN else line[:_SHOWN] + " …"))

    def best(self) -> list[Hit]:
        return self._whole + self._parts


def _fitting(lines: list[str]) -> list[str]:
    """Return as many of the lines as a model can be given at once, one at least."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line) + 1
        if count and size > _MOST_CHARACTERS:
            return lines[:count]
    return lines


def _fold(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _files(given: AttachmentsArguments, context: ToolContext) -> tuple[Attachment, ...]:
    """Return the files an action is about; ToolArguments says what it lacks."""
    if given.action == "read" and not given.name:
        raise ToolArguments("to read, give the `name` of a file; `list` shows them")
    if given.action == "search" and not given.query.strip():
        raise ToolArguments("to search, give a `query`")
    if given.action == "list" or not given.name:
        return context.attachments
    return (attachment(context, given.name),)
