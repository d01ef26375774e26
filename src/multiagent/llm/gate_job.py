"""One call on its way through the gate, and what its stream has brought."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from multiagent.core.budget import Amount
from multiagent.core.messages import Part, Text
from multiagent.llm.base import CallContext, Fallback, ModelRequest, StreamEnd, StreamItem
from multiagent.llm.gate_bounds import Heads, heads, request_hash

Watch = Callable[[StreamItem], Awaitable[None]]
"""Gets what streams, as it comes; the vendor waits for it."""


@dataclass(slots=True)
class Job:
    """One call on its way through the gate; ``asked`` is the request's hash."""

    request: ModelRequest
    call: CallContext
    owner: str
    watch: Watch | None = None
    asked: str = ""
    heads: Heads = field(default_factory=lambda: Heads(""))
    attempt: int = 1
    tries: int = 0
    resumed: bool = False
    lost: Amount = field(default_factory=Amount)
    fallbacks: list[Fallback] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads = heads(self.request)
        self.asked = request_hash(self.request, self.heads.whole)


@dataclass(slots=True)
class Collected:
    """What a stream has brought so far."""

    parts: list[Part] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    end: StreamEnd | None = None
    started: bool = False

    def whole(self) -> tuple[Part, ...]:
        """Return the parts, neighbouring text joined."""
        self._join()
        return tuple(self.parts)

    def add(self, part: Part) -> None:
        """Take a whole part."""
        self._join()
        self.parts.append(part)

    def _join(self) -> None:
        if self.text:
            self.parts.append(Text("".join(self.text)))
            self.text.clear()
