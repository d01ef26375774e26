"""Tokens that a model call used, and what they cost."""

import msgspec


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one call, or a sum of calls.

    ``prompt`` counts all input tokens, cached ones included; ``cached`` of them were read from the vendor's prompt
    cache and ``written`` were written to it; ``completion`` counts all output, ``reasoning`` of it hidden thinking.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Prompt plus completion tokens."""
        return self.prompt + self.completion

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.written + other.written,
            self.reasoning + other.reasoning,
        )


class Rates(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices in pico-dollars a token ($1 a million tokens is 1,000,000), and a fixed fee a call.

    ``cached`` and ``written`` are the price of prompt tokens read from, or written to, the vendor's cache.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    call: int = 0

    @property
    def dearest_prompt(self) -> int:
        """The highest price that a prompt token can have."""
        return max(self.prompt, self.cached, self.written)


class Bill(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a piece of work used and cost; ``saved_pico`` is what caches avoided; ``lost_*`` may have been billed."""

    usage: Usage = Usage()
    cost_pico: int = 0
    saved_pico: int = 0
    lost_tokens: int = 0
    lost_pico: int = 0
    model_calls: int = 0
    tool_calls: int = 0

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(
            self.usage + other.usage,
            self.cost_pico + other.cost_pico,
            self.saved_pico + other.saved_pico,
            self.lost_tokens + other.lost_tokens,
            self.lost_pico + other.lost_pico,
            self.model_calls + other.model_calls,
            self.tool_calls + other.tool_calls,
        )


def cost(usage: Usage, rates: Rates) -> int:
    """Return the price of a call in pico-dollars: cached and written prompt tokens at their own rates."""
    plain = max(0, usage.prompt - usage.cached - usage.written)
    return (
        plain * rates.prompt
        + usage.cached * rates.cached
        + usage.written * rates.written
        + usage.completion * rates.completion
        + rates.call
    )
