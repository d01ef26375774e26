"""Attachments as lines of text, piece by piece: no file is ever whole in memory but for a PDF's text."""

import asyncio
import codecs
import io
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from multiagent.core.errors import AttachmentRejected
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects
from multiagent.tools.builtin.encoding import SAMPLE, Encoding, detect
from multiagent.tools.builtin.kinds import PDF_MARK, Kind, kind_of
from multiagent.tools.builtin.pdf import PdfText, pdf_text

HEAD: Final = 1500
"""How many characters of a file's beginning are shown to a model before it asks for more."""
_KNOWN: Final = 256
_PDFS: Final = 4
_LINE: Final = 1 << 16
_SNIFFED: Final = 64 * 1024


class Inspection(msgspec.Struct, frozen=True):
    """What a file is: kind, number of lines (0 for binary), first characters; ``encoding`` as told to people."""

    kind: Kind
    lines: int = 0
    head: str = ""
    encoding: str = ""


class AttachmentReader:
    """Reads attachments; remembers what each of the last ones is, by content."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._inspected: OrderedDict[tuple[str, str, str], Inspection] = OrderedDict()
        self._pdfs: OrderedDict[tuple[str, str], PdfText] = OrderedDict()
        self._pdf_lock = asyncio.Lock()

    async def inspect(self, tenant: str, attachment: Attachment) -> Inspection:
        """Return what the file is; a PDF that cannot be read is ``binary``. NotFound where its object is gone."""
        key = (tenant, attachment.object, attachment.name)
        found = self._inspected.get(key)
        if found is None:
            try:
                found = await self._inspect(tenant, attachment)
            except AttachmentRejected:
                found = Inspection("binary")
            self._inspected[key] = found
            if len(self._inspected) > _KNOWN:
                self._inspected.popitem(last=False)
        return found

    async def _inspect(self, tenant: str, attachment: Attachment) -> Inspection:
        text = await self._open(tenant, attachment)
        count, head = 0, ""
        async for lines in text.blocks():
            count += len(lines)
            if len(head) < _SNIFFED:
                head = (head + "\n".join(lines) + "\n")[:_SNIFFED]
        kind: Kind = "pdf" if text.encoding is None else kind_of(attachment.name, attachment.media_type, head)
        return Inspection(kind, count, head[:HEAD], str(text.encoding or "PDF"))

    async def blocks(self, tenant: str, attachment: Attachment) -> AsyncIterator[list[str]]:
        """Yield the lines of a file, many at a time, without their ends; one over 64 Ki characters comes in pieces.

        Raises AttachmentRejected where the file is not text.
        """
        text = await self._open(tenant, attachment)
        async for lines in text.blocks():
            yield lines

    async def _open(self, tenant: str, attachment: Attachment) -> "_Text":
        sample = b""
        async for piece in self._objects.stream(tenant, attachment.object):
            sample += piece
            if len(sample) >= SAMPLE:
                break
        sample = sample[:SAMPLE]
        if sample.startswith(PDF_MARK):
            return _Text(self._objects, tenant, attachment, None, await self._pdf(tenant, attachment))
        encoding = await asyncio.to_thread(detect, sample) if len(sample) > _LINE else detect(sample)
        if encoding is None:
            raise AttachmentRejected(
                f"{attachment.name} is not text that can be read (binary, {attachment.size} bytes);"
                " give text, Markdown, CSV, TSV, JSON or PDF"
            )
        return _Text(self._objects, tenant, attachment, encoding, PdfText())

    async def _pdf(self, tenant: str, attachment: Attachment) -> PdfText:
        """Return a PDF's text; one is parsed at a time, so that agents who ask for the same share the work."""
        key = (tenant, attachment.object)
        async with self._pdf_lock:
            found = self._pdfs.get(key)
            if found is None:
                found = self._pdfs[key] = await pdf_text(self._objects, tenant, attachment)
                if len(self._pdfs) > _PDFS:
                    self._pdfs.popitem(last=False)
        return found


class _Text:
    """One file that is text, or the text of one PDF."""

    def __init__(
        self, objects: Objects, tenant: str, attachment: Attachment, encoding: Encoding | None, pdf: PdfText
    ) -> None:
        self.encoding = encoding
        self._objects = objects
        self._tenant = tenant
        self._attachment = attachment
        self._pdf = pdf

    async def blocks(self) -> AsyncIterator[list[str]]:
        """Yield the lines, as many at a time as a piece of the file holds."""
        rest = ""
        async for text in self._pieces():
            *whole, rest = (rest + text).split("\n")
            if len(text) > _LINE and any(len(line) > _LINE for line in whole):
                whole = [part for line in whole for part in _parts(line)]
            if len(rest) > _LINE:
                *more, rest = _parts(rest)
                whole += more
            if whole:
                yield whole
        if rest:
            yield [rest]

    async def _pieces(self) -> AsyncIterator[str]:
        if self.encoding is None:
            yield self._pdf.text
            return
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(self.encoding.codec)("replace"), translate=True
        )
        async for piece in self._objects.stream(self._tenant, self._attachment.object):
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)


def _parts(line: str) -> list[str]:
    return [line[start : start + _LINE] for start in range(0, len(line) or 1, _LINE)]


async def inspect_attachment(objects: Objects, tenant: str, attachment: Attachment) -> Inspection:
    """Return what one file is; keep an ``AttachmentReader`` where the same files are asked for again."""
    return await AttachmentReader(objects).inspect(tenant, attachment)
