"""The built-in offline model: a deterministic rule-based stand-in where no vendor's key is set.

It plans, calls tools and composes answers from inputs and observations alone; it knows nothing else, and says so.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from multiagent.core.errors import VendorUnavailable
from multiagent.core.messages import Part, Text, ToolCall
from multiagent.llm.base import Chunk, Finish, ModelInfo, ModelRequest, PartDone, StreamEnd, TextDelta
from multiagent.llm.gate_estimate import estimate_text, estimate_usage
from multiagent.llm.offline.agent import Call, turn
from multiagent.llm.offline.planner import plan
from multiagent.llm.offline.request import Asked, asked, observations
from multiagent.llm.offline.reviewer import review
from multiagent.llm.offline.wording import Words

PIECE: Final = 400
"""Characters of a streamed piece of text."""


class OfflineProvider:
    """A Provider without a vendor.

    ``latency_s`` is waited before each answer; of all calls a share of ``failure_rate`` (0–1) fails as unavailable:
    which ones is decided by ``seed`` and their number.
    """

    def __init__(self, latency_s: float = 0.0, failure_rate: float = 0.0, seed: int = 0) -> None:
        self._latency = latency_s
        self._failure_rate = failure_rate
        self._chance = random.Random(seed)  # noqa: S311 — failures to order, nothing secret

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the answer; raises VendorUnavailable at the rate that was asked for."""
        if self._latency > 0:
            await asyncio.sleep(self._latency)
        if self._failure_rate > 0 and self._chance.random() < self._failure_rate:
            raise VendorUnavailable("the offline model failed, as its failure_rate asks", details={"vendor": "offline"})
        parts, finish = answer(request)
        for part in parts:
            if isinstance(part, Text):
                for start in range(0, len(part.text), PIECE):
                    yield TextDelta(part.text[start : start + PIECE])
            else:
                yield PartDone(part)
        yield StreamEnd(finish, estimate_usage(request, parts), estimated=True)

    async def close(self) -> None:
        """Nothing to give up."""


def answer(request: ModelRequest) -> tuple[tuple[Part, ...], Finish]:
    """Return the answer to a request: always the same one to the same request."""
    given = asked(request.messages)
    if request.purpose in {"decompose", "repair"}:
        return _text(msgspec.json.encode(plan(given)).decode(), request.max_output)
    if request.purpose == "synthesize":
        return _text(
            Words(chinese=given.chinese).synthesis(given.results, given.missing, request.max_output), request.max_output
        )
    return _turn(request, given)


def _turn(request: ModelRequest, given: Asked) -> tuple[tuple[Part, ...], Finish]:
    seen = observations(request)
    work = review if request.purpose in {"critique", "judge"} else turn
    told = work(given, seen, frozenset(one.name for one in request.tools), request.max_output)
    if isinstance(told, Call):
        return (ToolCall(f"{given.task.id or 'chat'}_call_{len(seen) + 1}", told.name, told.arguments),), "tool_calls"
    if request.purpose == "chat":
        told += "\n\n" + Words(chinese=given.chinese).say("label")
    return _text(told, request.max_output)


def _text(text: str, most: int) -> tuple[tuple[Part, ...], Finish]:
    """Return text as an answer, cut where it has more tokens than allowed."""
    if estimate_text(text) <= most:
        return (Text(text),), "stop"
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate_text(text[:middle]) <= most else (low, middle - 1)
    return (Text(text[:low]),), "length"
