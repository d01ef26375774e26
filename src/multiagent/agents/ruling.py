"""From a critic's or judge's text to a ruling, pure."""

import re
from typing import Final

import msgspec

from multiagent.agents.calls import Ruling
from multiagent.llm.base import ResponseFormat

MOST: Final = 20
CHARS: Final = 2_000
"""So many reasons and corrections of a ruling are kept, each of so many characters."""

_TEXTS: Final = '{"type":"array","items":{"type":"string"}}'
RULING: Final = ResponseFormat(
    "ruling",
    '{"type":"object","additionalProperties":false,"required":["accept","reasons","corrections"],'
    f'"properties":{{"accept":{{"type":"boolean"}},"reasons":{_TEXTS},"corrections":{_TEXTS}}}}}',
)

_FENCE: Final = re.compile(r"\A```[a-z]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


def read_ruling(text: str) -> tuple[Ruling | None, str]:
    """Return the ruling that a text holds, or None and why there is none. A Markdown fence is taken off."""
    body = text.strip()
    fenced = _FENCE.match(body)
    try:
        found = msgspec.json.decode(fenced.group(1) if fenced else body, type=Ruling)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return None, f"the review is no ruling: {str(error)[:200]}"
    return Ruling(found.accept, _kept(found.reasons), _kept(found.corrections)), ""


def _kept(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text[:CHARS] for text in texts[:MOST])
