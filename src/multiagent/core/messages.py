"""Conversations as content-addressed chains: each message carries its parent's hash, so a head names a transcript."""

from typing import Final, Literal

import msgspec

from multiagent.core.canonical import canonical, digest_bytes
from multiagent.core.label import Labels

Role = Literal["system", "user", "assistant", "tool"]
_ENCODE: Final = msgspec.json.Encoder(order="sorted").encode
ROOT: Final = ""
"""The parent of a conversation's first message."""


class Text(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """Plain text."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call", tag_field="type"):
    """A model asks for a tool; ``arguments`` is JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result", tag_field="type"):
    """What a tool answered to the call of that id."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


class Opaque(msgspec.Struct, frozen=True, tag="opaque", tag_field="type"):
    """Bytes that only one vendor's one model can read (thinking signatures); dropped on fallback to another."""

    vendor: str
    model: str
    kind: str
    data: bytes


Part = Text | ToolCall | ToolResult | Opaque


class Message(msgspec.Struct, frozen=True):
    """One message of a chain; ``labels`` is the taint of its content."""

    role: Role
    parts: tuple[Part, ...]
    parent: str = ROOT
    labels: Labels = ()

    @property
    def text(self) -> str:
        """All plain text of the message."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the message, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


def message_hash(message: Message) -> str:
    """Return the message's address: a SHA-256 over its content and its parent's address."""
    try:
        data = _ENCODE(
            message
        )  # canonical, as a message holds only texts and truths under ASCII names; 20 times faster
    except UnicodeEncodeError:  # half a surrogate pair
        data = canonical(message)
    return digest_bytes("multiagent.message.v1", data)


def says(role: Role, text: str, parent: str = ROOT, labels: Labels = ()) -> Message:
    """Return a message of one plain text."""
    return Message(role, (Text(text),), parent, labels)
