"""The port of models: what is asked, what streams back, and what a vendor's adapter must do."""

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

import msgspec

from multiagent.core.budget import ScopeLimit
from multiagent.core.label import Labels
from multiagent.core.messages import Message, Part, Text
from multiagent.core.principal import Principal
from multiagent.core.tier import Tier
from multiagent.core.tool import ToolSpec
from multiagent.core.usage import Rates, Usage

Finish = Literal["stop", "tool_calls", "length", "content_filter"]
Purpose = Literal["chat", "decompose", "turn", "synthesize", "repair", "critique", "judge"]


class ResponseFormat(msgspec.Struct, frozen=True):
    """The answer must be JSON that fits this schema (JSON text)."""

    name: str
    schema: str


class ModelRequest(msgspec.Struct, frozen=True):
    """One question to a model. ``messages`` is the whole transcript, root first; ``model`` empty means: by tier."""

    messages: tuple[Message, ...]
    tier: Tier = "small"
    model: str = ""
    tools: tuple[ToolSpec, ...] = ()
    response_format: ResponseFormat | None = None
    max_output: int = 2048
    temperature: float = 0.0
    purpose: Purpose = "chat"


class CallContext(msgspec.Struct, frozen=True):
    """For whom a call is made, under which budgets, until when (ms UTC).

    ``key`` is the idempotency key: a committed call is never paid twice.
    """

    principal: Principal
    key: str
    scopes: tuple[ScopeLimit, ...]
    deadline: int
    task: str = ""
    step: str = ""
    agent: str = ""
    session: str = ""
    end_user: str = ""
    labels: Labels = ()
    cache: bool = True


class Fallback(msgspec.Struct, frozen=True):
    """An endpoint that was tried before the one that answered, and how it failed; ``billed`` false: it cost nothing."""

    endpoint: str
    code: str
    message: str
    billed: bool = True


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. ``estimated``: the tokens come from our own estimator. ``cached``: which cache served it.

    From the exact cache, usage and cost are 0 and ``saved_pico`` is what the call would have cost; from the stored
    completion of the same idempotency key, they are those of the call that was paid, once.
    ``lowered`` is the max output that was allowed where the budget lowered it, else 0. ``lost_*`` were held for this
    call's attempts that may or may not have been billed, and count in full. ``fallbacks`` are for ``model.fallback``
    events, in order; ``overrun``: the vendor billed above the bound that was reserved. ``dropped`` counts the opaque
    parts that another vendor or model had made, and which were not sent to this one.
    """

    parts: tuple[Part, ...]
    finish: Finish
    usage: Usage
    vendor: str
    model: str
    cost_pico: int = 0
    saved_pico: int = 0
    request_id: str = ""
    cached: Literal["", "exact", "semantic", "completion"] = ""
    estimated: bool = False
    lowered: int = 0
    lost_tokens: int = 0
    lost_pico: int = 0
    overrun: bool = False
    dropped: int = 0
    fallbacks: tuple[Fallback, ...] = ()

    @property
    def text(self) -> str:
        """All plain text of the answer."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    """More text."""

    text: str


class PartDone(msgspec.Struct, frozen=True, tag="part"):
    """A whole non-text part (a tool call, opaque bytes)."""

    part: Part


class StreamEnd(msgspec.Struct, frozen=True, tag="end"):
    """The last chunk. ``usage`` None: the vendor did not say."""

    finish: Finish
    usage: Usage | None
    request_id: str = ""
    estimated: bool = False


Chunk = TextDelta | PartDone | StreamEnd


class AttemptStarted(msgspec.Struct, frozen=True, tag="attempt"):
    """A vendor is being asked (attempts count from 1): what an earlier attempt streamed is void."""

    attempt: int
    endpoint: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The whole answer, settled and stored: a stream's last item."""

    answer: Answer


StreamItem = AttemptStarted | TextDelta | PartDone | Answered


class Endpoint(msgspec.Struct, frozen=True):
    """Where a model is served: vendor × account × region × model; the unit of credentials, breaker and limits."""

    vendor: str
    model: str
    account: str = "default"
    region: str = ""

    @property
    def id(self) -> str:
        """vendor/account/region/model, as in metrics and usage rows."""
        return f"{self.vendor}/{self.account}/{self.region or '-'}/{self.model}"


class ModelInfo(msgspec.Struct, frozen=True):
    """What the catalog knows of an endpoint's model. ``priority`` is higher for better; ``context`` in tokens."""

    endpoint: Endpoint
    tier: Tier
    priority: float
    rates: Rates
    context: int = 128_000
    max_output: int = 8_192
    overhead_tokens: int = 64
    tools: bool = True


class Provider(Protocol):
    """A vendor's adapter. Streaming is the only path."""

    def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Yield chunks, ``StreamEnd`` last; closing the generator closes the call.

        Raises VendorError's children. An error's ``details`` say what it may have cost: ``status`` (the vendor
        answered an error status) or ``sent`` false (the request never left) before any content cost nothing; any other
        end without usage may have been billed.
        """
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


class Gate(Protocol):
    """The only way to a model."""

    async def complete(self, request: ModelRequest, call: CallContext) -> Answer:
        """Ask, and collect the stream.

        Raises PolicyDenied, BudgetExceeded, BudgetBusy, VendorError's children, BreakerOpen, NoModel, and InvalidInput
        where the idempotency key was used for another request. The details of what is raised after an endpoint was
        tried hold ``fallbacks`` (as in Answer, each a mapping), ``lost_tokens`` and ``lost_pico``.
        """
        ...

    def stream(self, request: ModelRequest, call: CallContext) -> AsyncGenerator[StreamItem, None]:
        """Ask, and yield what comes, ``Answered`` last; closing the generator closes the vendor call.

        Raises what ``complete`` raises.
        """
        ...
