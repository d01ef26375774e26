"""A vendor in the test's own process: answers at once, and as it is told."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec

from multiagent.core.errors import VendorError
from multiagent.core.usage import Rates, Usage
from multiagent.llm.base import Chunk, Endpoint, ModelInfo, ModelRequest, StreamEnd, TextDelta
from multiagent.llm.gate_bounds import prompt_bound

RATES = Rates(prompt=1_000_000, completion=4_000_000, cached=250_000, written=1_250_000)
"""$1 and $4 a million tokens."""


def stub_model(name: str = "stub", *, vendor: str = "stub", priority: float = 1.0, rates: Rates = RATES) -> ModelInfo:
    """Return a model of the stub vendor."""
    return ModelInfo(Endpoint(vendor, name), "small", priority, rates)


def bills_exactly(model: ModelInfo, request: ModelRequest) -> Usage:
    """The whole bound."""
    return Usage(prompt_bound(request, model.overhead_tokens), request.max_output)


def bills_little(_model: ModelInfo, _request: ModelRequest) -> Usage:
    """A part of the bound."""
    return Usage(10, 5)


def bills_silently(_model: ModelInfo, _request: ModelRequest) -> None:
    """Nothing is said of what was used."""


class VendorStub:
    """See ``llm.base.Provider``.

    ``errors`` are raised by the calls in order (None: that call answers); ``before`` is awaited in each call before its
    answer, with the number of the call (from 1); ``usage`` says what is billed, None: nothing is said.
    """

    def __init__(
        self,
        text: str = "It is so.",
        *,
        usage: Callable[[ModelInfo, ModelRequest], Usage | None] = bills_little,
        errors: Sequence[VendorError | None] = (),
        before: Callable[[int], Awaitable[None]] | None = None,
        finish: Sequence[Chunk] = (),
    ) -> None:
        self.text = text
        self.requests: list[ModelRequest] = []
        self.billed: list[Usage] = []
        self.closed = 0
        self._usage = usage
        self._errors = list(errors)
        self._before = before
        self._finish = tuple(finish)

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """See ``llm.base.Provider``."""
        self.requests.append(request)
        number = len(self.requests)
        ended = False
        try:
            if self._before is not None:
                await self._before(number)
            if number <= len(self._errors) and (error := self._errors[number - 1]) is not None:
                raise error
            for word in self.text.split(" "):
                yield TextDelta(f"{word} " if word else "")
            usage = self._usage(model, request)
            if usage is not None:
                self.billed.append(usage)
            for chunk in self._finish:
                yield msgspec.structs.replace(chunk, usage=usage) if isinstance(chunk, StreamEnd) else chunk
            if not self._finish:
                yield StreamEnd("stop", usage, f"stub-{number}")
            ended = True
        finally:
            self.closed += not ended

    async def close(self) -> None:
        """See ``llm.base.Provider``."""
