"""What becomes of a tool's answer before a model reads it: bounded, and labelled by all that went in. Pure."""

from typing import Final

import msgspec

from multiagent.core.label import UNTRUSTED, Labels, join
from multiagent.tools.base import ToolOutput

MOST_BYTES: Final = 64 * 1024
"""What a model is given of one answer at most, in bytes of UTF-8."""
_OUTSIDE: Final = "network"


def cut(text: str, most: int = MOST_BYTES) -> str:
    """Return the text, or its first three quarters and its end around a note that says how much was left out."""
    if len(text) <= most // 4:
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    begin = data[:head].decode("utf-8", "ignore")
    end = data[-tail:].decode("utf-8", "ignore")
    left_out = len(data) - head - tail
    return f"{begin}\n[… {left_out} of {len(data)} bytes are left out here; ask for a smaller part …]\n{end}"


def finish(output: ToolOutput, group: str, labels: Labels, most: int = MOST_BYTES) -> ToolOutput:
    """Return the output bounded and labelled: by its own labels, those of what went in, and its origin."""
    origin = (UNTRUSTED,) if group == _OUTSIDE else ()
    return msgspec.structs.replace(
        output, content=cut(output.content, most), labels=join(output.labels, labels, origin)
    )
