"""Attachments on their way in: named safely, read once, refused with the reason where no agent could use them."""

import asyncio
import codecs
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from multiagent.core.errors import AttachmentRejected, ToolTimeout
from multiagent.core.label import UNTRUSTED
from multiagent.core.task import Attachment
from multiagent.storage.objects.base import Objects
from multiagent.tools.builtin.pdf import pdf_text

MOST_BYTES: Final = 100 * 1024 * 1024
MOST_FILES: Final = 50
NAME_CHARS: Final = 120

_PIECE: Final = 1 << 20
_FORBIDDEN: Final = frozenset("'/\\:*?\"<>|`$")
_TYPES: Final = {
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".tab": "text/tab-separated-values",
    ".md": "text/markdown", ".markdown": "text/markdown", ".json": "application/json",
}  # fmt: skip
_MAGIC: Final = (
    (b"PK\x03\x04", "a ZIP archive (or an Office document); unpack it, or save its sheets as CSV"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89PNG", "a PNG picture; pictures cannot be read yet"),
    (b"\xff\xd8\xff", "a JPEG picture; pictures cannot be read yet"),
    (b"GIF8", "a GIF picture; pictures cannot be read yet"),
    (b"\x7fELF", "a program; programs are not read"),
    (b"MZ", "a program; programs are not read"),
    (b"SQLite format 3", "an SQLite database; export its tables as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; save it as CSV, text or PDF"),
)
PDF: Final = "application/pdf"
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Uploads:
    """Takes files into a tenant's objects."""

    def __init__(self, objects: Objects, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> None:
        self._objects = objects
        self._most = most_bytes
        self._files = most_files

    async def take(self, tenant: str, paths: Sequence[Path]) -> tuple[Attachment, ...]:
        """Copy the files; return them as attachments, labelled untrusted.

        All are looked at before the first is copied. Raises AttachmentRejected, naming the file and what to do.
        """
        if len(paths) > self._files:
            raise AttachmentRejected(f"{len(paths)} files are attached; at most {self._files} are allowed")
        types = [await asyncio.to_thread(inspect, path, self._most) for path in paths]
        taken: list[Attachment] = []
        for path, name, media_type in zip(paths, unique_names([path.name for path in paths]), types, strict=True):
            try:
                address, size = await self._objects.put_file(tenant, path, self._most)
            except OSError as error:
                raise AttachmentRejected(f"{path}: cannot be read: {error.strerror or error}") from None
            taken.append(Attachment(name, media_type, size, address, (UNTRUSTED,)))
            if media_type == PDF:
                await self._check_pdf(tenant, taken[-1])
        return tuple(taken)

    async def _check_pdf(self, tenant: str, attachment: Attachment) -> None:
        """Refuse a PDF that is damaged or locked now, before a team works on it; one that is only slow passes."""
        with suppress(ToolTimeout):
            await pdf_text(self._objects, tenant, attachment)


def inspect(path: Path, most: int) -> str:
    """Read a file to its end and return its media type; AttachmentRejected where it is not text, JSON or PDF in
    UTF-8, is empty, or is over ``most`` bytes.
    """
    _check_kind(path)
    try:
        if path.stat().st_size > most:
            raise AttachmentRejected(_too_large(path, most))
        with path.open("rb") as file:
            first = file.read(_PIECE)
            return _media_type(path, first, iter(lambda: file.read(_PIECE), b""), most)
    except PermissionError:
        raise AttachmentRejected(f"{path}: may not be read; check its permissions") from None
    except OSError as error:
        raise AttachmentRejected(f"{path}: cannot be read: {error.strerror or error}") from None


def _check_kind(path: Path) -> None:
    try:
        if not path.exists():
            raise AttachmentRejected(f"{path}: there is no such file; check the path")
    except (OSError, ValueError) as error:
        raise AttachmentRejected(f"{path}: cannot be read: {error}") from None
    if path.is_dir():
        raise AttachmentRejected(f"{path}: is a directory; attach its files one by one")
    if not path.is_file():
        raise AttachmentRejected(f"{path}: is not a regular file; copy its content to one")


def _media_type(path: Path, first: bytes, rest: Iterator[bytes], most: int) -> str:
    if not first.strip():
        raise AttachmentRejected(f"{path}: is empty; attach a file with content")
    if first.startswith(b"%PDF-"):
        return PDF
    for magic, what in _MAGIC:
        if first.startswith(magic):
            raise AttachmentRejected(f"{path}: is {what}")
    if first.startswith(_UTF16):
        raise AttachmentRejected(f"{path}: is UTF-16; save it as UTF-8")
    _check_text(path, first, rest, most)
    known = _TYPES.get(path.suffix.lower())
    return known or ("application/json" if first.lstrip()[:1] in (b"{", b"[") and _ends(first) else "text/plain")


def _ends(first: bytes) -> bool:
    """Whether text that begins like JSON also ends so (judged by its first piece; larger files go by their name)."""
    return first.rstrip()[-1:] in (b"}", b"]")


def _check_text(path: Path, first: bytes, rest: Iterator[bytes], most: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    size, piece = 0, first
    while piece:
        if b"\0" in piece:
            raise AttachmentRejected(f"{path}: is binary (it has zero bytes); attach text, CSV, JSON or PDF")
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            raise AttachmentRejected(_not_utf8(path, size + max(0, error.start))) from None
        size += len(piece)
        if size > most:
            raise AttachmentRejected(_too_large(path, most))
        piece = next(rest, b"")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise AttachmentRejected(_not_utf8(path, size)) from None


def _not_utf8(path: Path, at: int) -> str:
    return f"{path}: is not UTF-8 (near byte {at}); convert it, for example with `iconv -f GB18030 -t UTF-8`"


def _too_large(path: Path, most: int) -> str:
    return f"{path}: is larger than {most // (1 << 20)} MiB; attach a part of it"


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names that are safe in a folder and in a prompt, and differ also where case does not count."""
    taken: set[str] = set()
    unique = []
    for name in names:
        safe = safe_name(name)
        stem, dot, suffix = safe.rpartition(".") if "." in safe else (safe, "", "")
        chosen, count = safe, 1
        while chosen.casefold() in taken:
            count += 1
            chosen = f"{stem}-{count}{dot}{suffix}"
        taken.add(chosen.casefold())
        unique.append(chosen)
    return unique


def safe_name(name: str) -> str:
    """Return a file name without path, control and shell characters, of at most ``NAME_CHARS``."""
    plain = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    kept = "".join(
        "_" if one in _FORBIDDEN else one for one in plain if unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co")
    )
    kept = " ".join(kept.split()).strip(" .'")
    if len(kept) > NAME_CHARS:
        stem, dot, suffix = kept.rpartition(".")
        suffix = suffix[:10]
        kept = f"{(stem or suffix)[: NAME_CHARS - len(suffix) - 1]}{dot}{suffix}"
    return kept or "file"
