"""Which model is asked first: a pure score over what is known of each endpoint.

``priority × max(0.1, 1 − cost/max_cost) × success_rate/(1 + latency_s) × max(0.1, 1 − load)``
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from multiagent.core.budget import need
from multiagent.core.errors import NoModel
from multiagent.core.tier import TIERS, Tier
from multiagent.llm.base import ModelInfo, ModelRequest

_SMOOTHING: Final = 0.2
"""Weight of the newest call in the moving averages (Roberts, 1959: exponentially weighted moving average)."""


class EndpointStats(msgspec.Struct, frozen=True):
    """What was seen of an endpoint: shares 0–1, latency in seconds; ``load`` is calls in flight over capacity."""

    success_rate: float = 1.0
    latency_s: float = 0.0
    load: float = 0.0


FRESH: Final = EndpointStats()
"""What is assumed of an endpoint that was never asked."""


def score(priority: float, cost: int, max_cost: int, stats: EndpointStats) -> float:
    """Return how good an endpoint is for a call of ``cost`` when the dearest candidate costs ``max_cost`` (pico)."""
    cheapness = max(0.1, 1 - cost / max_cost) if max_cost > 0 else 1.0
    return priority * cheapness * stats.success_rate / (1 + stats.latency_s) * max(0.1, 1 - stats.load)


def after_call(stats: EndpointStats, *, success: bool, latency_s: float | None) -> EndpointStats:
    """Return the moving averages after one more call; ``latency_s`` None where no answer came."""
    rate = stats.success_rate + _SMOOTHING * (float(success) - stats.success_rate)
    latency = stats.latency_s
    if latency_s is not None:
        latency += _SMOOTHING * (latency_s - latency)
    return EndpointStats(rate, latency, stats.load)


def fitting(models: Sequence[ModelInfo], request: ModelRequest, prompt_tokens: int) -> tuple[ModelInfo, ...]:
    """Return the models that can take a request, of its model name or (the nearest) tier.

    ``prompt_tokens`` is an estimate: what is likely too long for a model's context is not sent to it. Without a model
    in the tier the nearest cheaper one serves, else the nearest dearer. Raises NoModel naming what would help.
    """
    named = [model for model in models if not request.model or request.model in _names(model)]
    if not named:
        known = ", ".join(sorted({model.endpoint.model for model in models})) or "none"
        raise NoModel(f"no configured vendor serves the model {request.model!r}; configured are: {known}")
    able = [model for model in named if model.tools or not request.tools]
    if not able:
        raise NoModel("no configured model can call tools; add one to configs/models.yaml")
    roomy = [model for model in able if prompt_tokens < model.context]
    if not roomy:
        most = max(model.context for model in able)
        raise NoModel(f"the prompt has about {prompt_tokens} tokens; the largest context configured is {most}")
    if request.model:
        return tuple(roomy)
    tier = nearest({model.tier for model in roomy}, request.tier)
    return tuple(model for model in roomy if model.tier == tier)


def _names(model: ModelInfo) -> tuple[str, str, str]:
    return (model.endpoint.model, f"{model.endpoint.vendor}/{model.endpoint.model}", model.endpoint.id)


def nearest(tiers: set[Tier], wanted: Tier) -> Tier:
    """Return the wanted tier where there is one, else the nearest cheaper, else the nearest dearer; ``tiers`` is not
    empty.
    """
    place = TIERS.index(wanted)
    order = (*TIERS[place::-1], *TIERS[place + 1 :])
    return next(tier for tier in order if tier in tiers)


def rank(
    models: Sequence[ModelInfo], prompt_tokens: int, max_output: int, stats: Mapping[str, EndpointStats]
) -> tuple[ModelInfo, ...]:
    """Return the models best first; equal scores in the order of their ids, so that a choice can be repeated."""
    costs = {
        model.endpoint.id: need(prompt_tokens, min(max_output, model.max_output), model.rates).pico for model in models
    }
    dearest = max(costs.values(), default=0)

    def place(model: ModelInfo) -> tuple[float, str]:
        key = model.endpoint.id
        return (-score(model.priority, costs[key], dearest, stats.get(key, FRESH)), key)

    return tuple(sorted(models, key=place))
