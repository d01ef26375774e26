"""The text processor as a tool: summary, keywords, counts and structure of a text or an attached file."""

import asyncio
from typing import Annotated, Final, Literal

import msgspec

from multiagent.core.errors import AttachmentRejected, ToolArguments
from multiagent.core.task import Attachment
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import Inspected, ToolContext, ToolOutput
from multiagent.tools.builtin.given import attachment
from multiagent.tools.builtin.reading import AttachmentReader
from multiagent.tools.builtin.text_measures import counts, structure, summary
from multiagent.tools.builtin.words import keywords
from multiagent.tools.schema import decode_arguments, schema_of

MOST: Final = 500_000
_SHORT: Final = 5_000
_USUAL: Final = {"summary": 3, "keywords": 10}
_DESCRIPTION = """Measure a text, English or Chinese, or an attached file (`name`).

summary: its most telling sentences, word for word. keywords: its most frequent terms with counts. count: characters,
words, sentences, paragraphs, lines. structure: its outline."""


class TextArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model gives: a text or the name of a file."""

    operation: Literal["summary", "keywords", "count", "structure"]
    text: Annotated[str, msgspec.Meta(max_length=MOST)] = ""
    name: Annotated[str, msgspec.Meta(description="an attached file, instead of `text`")] = ""
    query: Annotated[str, msgspec.Meta(description="what a summary should be about", max_length=500)] = ""
    limit: Annotated[int, msgspec.Meta(ge=0, le=100, description="sentences or keywords; 0 means the usual")] = 0


class TextProcessor:
    """Counts; understands nothing."""

    def __init__(self, reader: AttachmentReader) -> None:
        self._reader = reader
        self._spec = ToolSpec("text_processor", _DESCRIPTION, schema_of(TextArguments), timeout_s=60.0)

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._spec

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check the arguments; policy learns of the file's labels."""
        file = _file(decode_arguments(arguments, TextArguments), context)
        return Inspected(labels=file.labels if file else ())

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Answer in plain text. Raises ToolArguments, StorageError's children, NotFound."""
        given = decode_arguments(arguments, TextArguments)
        file = _file(given, context)
        text, note = given.text, ""
        if file is not None:
            text, whole = await self._text(file, context)
            note = "" if whole else f"\n[only the first {len(text)} characters were read]"
        # Counting the runs of a long text takes up to a second, which is not the event loop's to give.
        found = _measure(given, text) if len(text) < _SHORT else await asyncio.to_thread(_measure, given, text)
        return ToolOutput(
            found + note,
            labels=file.labels if file else (),
            sources=(file.name,) if file else (),
        )

    async def _text(self, file: Attachment, context: ToolContext) -> tuple[str, bool]:
        """Return the file's text up to a bound, and whether that is all of it."""
        text = ""
        try:
            async for lines in self._reader.blocks(context.principal.tenant, file):
                text += "\n".join(lines) + "\n"
                if len(text) > MOST:
                    return text[:MOST], False
        except AttachmentRejected as error:
            raise ToolArguments(error.message) from error
        return text, True


def _file(given: TextArguments, context: ToolContext) -> Attachment | None:
    if bool(given.text) == bool(given.name):
        raise ToolArguments("give either `text` or the `name` of an attached file")
    return attachment(context, given.name) if given.name else None


def _measure(given: TextArguments, text: str) -> str:
    most = given.limit or _USUAL.get(given.operation, 0)
    if given.operation == "summary":
        return "\n".join(f"- {sentence}" for sentence in summary(text, most, given.query)) or "(no sentences)"
    if given.operation == "keywords":
        return "\n".join(f"{term}: {count}" for term, count in keywords(text, most)) or "(no terms)"
    if given.operation == "count":
        return "\n".join(f"{name}: {number}" for name, number in msgspec.structs.asdict(counts(text)).items())
    found = structure(text)
    outline = [f"{'  ' * (one.level - 1)}{one.text} (line {one.line})" for one in found.headings] or ["(no headings)"]
    numbers = msgspec.structs.asdict(found)
    rest = [f"{name}: {numbers[name]}" for name in numbers if name != "headings"]
    return "\n".join(["headings:", *outline, *rest])
