"""What a model is told of a tool, and what a tool tells of itself."""

from typing import Final

import msgspec

ASK_USER: Final = "ask_user"
"""The tool by which an agent asks its user; its calls wait for the answer."""


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Name, description and JSON Schema (as JSON text) of a tool.

    ``group`` is what policy sorts by: ``basic``, ``code``, ``data``, ``network`` or ``admin``. A tool that is not
    ``idempotent`` records its intent before it runs and is never run twice without a person's word.
    """

    name: str
    description: str
    parameters: str
    group: str = "basic"
    idempotent: bool = True
    timeout_s: float = 30.0
