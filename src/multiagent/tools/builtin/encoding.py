"""Which characters bytes are: by mark, by validity, else a guess that says it is one. Pure."""

import codecs
import re
from typing import Final

import msgspec

SAMPLE: Final = 4 << 20
"""How many bytes of a file are looked at, from its beginning."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_CONTROL: Final = bytes(sorted({*range(32), 127} - {7, 8, 9, 10, 12, 13, 27}))
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
_HANZI: Final = re.compile(rb"(?:[\xa1-\xf7][\xa1-\xfe]|[\x81-\xfe][\x30-\x39][\x81-\xfe][\x30-\x39])+")


class Encoding(msgspec.Struct, frozen=True):
    """``codec`` for Python, ``name`` for people; ``guess`` where nothing in the bytes says so for sure."""

    codec: str
    name: str
    guess: bool = False

    def __str__(self) -> str:
        return f"{self.name} (a guess)" if self.guess else self.name


def detect(sample: bytes) -> Encoding | None:
    """Return the encoding of a file that begins with ``sample``; None where it is not text."""
    for mark, codec, name in _MARKS:
        if sample.startswith(mark):
            return Encoding(codec, name) if _decodes(sample, codec) else None
    if b"\0" in sample or len(sample.translate(None, _CONTROL)) < len(sample) * 0.98:
        return None
    if _decodes(sample, "utf-8"):
        return Encoding("utf-8", "UTF-8")
    if _decodes(sample, "gb18030") and _looks_chinese(sample):
        return Encoding("gb18030", "GB18030", guess=True)
    return Encoding("cp1252", "Windows-1252", guess=True) if _decodes(sample, "cp1252") else None


def _decodes(sample: bytes, codec: str) -> bool:
    """Tell whether all is valid, but for a character cut off at the end."""
    try:
        codecs.getincrementaldecoder(codec)("strict").decode(sample, final=len(sample) < SAMPLE)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(sample: bytes) -> bool:
    """Tell whether the high bytes come in the pairs of everyday Chinese; of Western letters, few stand side by side."""
    high = sum(len(run) for run in _HIGH.findall(sample))
    pairs = sum(len(run) for run in _HANZI.findall(sample))
    return pairs >= 0.9 * high
