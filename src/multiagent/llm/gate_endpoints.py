"""What the gate knows of each endpoint: who serves it, its breaker, its rate, and how it has been doing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from multiagent.core.breaker import Breaker, BreakerPolicy
from multiagent.core.clock import Clock
from multiagent.core.errors import NoModel
from multiagent.llm.base import ModelInfo, ModelRequest, Provider
from multiagent.llm.gate_rate import TokenBucket
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.router import EndpointStats, after_call, fitting, rank

BREAKER: Final = BreakerPolicy(max_requests=2, interval=60.0, timeout=20.0, max_failures=5)


@dataclass(frozen=True, slots=True)
class Serving:
    """A model and who serves it; ``per_minute`` None: no rate limit of ours."""

    model: ModelInfo
    provider: Provider
    profile: Profile = field(default_factory=Profile)
    timeouts: Timeouts = field(default_factory=Timeouts)
    per_minute: float | None = None
    capacity: int = 64


@dataclass(slots=True)
class EndpointState:
    """One endpoint; it belongs to one event loop."""

    serving: Serving
    breaker: Breaker
    bucket: TokenBucket | None
    stats: EndpointStats = field(default_factory=EndpointStats)
    in_flight: int = 0

    @property
    def model(self) -> ModelInfo:
        """The model that is served."""
        return self.serving.model

    def seen(self) -> EndpointStats:
        """Return what the router may know now."""
        load = min(1.0, self.in_flight / self.serving.capacity)
        return EndpointStats(self.stats.success_rate, self.stats.latency_s, load)

    def record(self, *, success: bool, latency_s: float | None) -> None:
        """Count how a call ended."""
        self.stats = after_call(self.stats, success=success, latency_s=latency_s)


class Endpoints:
    """All endpoints of a gate, by their models."""

    def __init__(self, servings: Iterable[Serving], clock: Clock, policy: BreakerPolicy = BREAKER) -> None:
        self._clock = clock
        self._states: dict[str, EndpointState] = {}
        for serving in servings:
            key = serving.model.endpoint.id
            bucket = None
            if serving.per_minute is not None:
                bucket = TokenBucket(serving.per_minute, max(1.0, serving.per_minute / 10))
            self._states[key] = EndpointState(serving, Breaker(key, policy), bucket)

    def route(self, request: ModelRequest, prompt_tokens: int) -> tuple[EndpointState, ...]:
        """Return the endpoints to try, best first, those with an open breaker last.

        Raises NoModel where none can take the request.
        """
        if not self._states:
            raise NoModel("no model is configured; set a vendor's key, or use the offline model")
        models = fitting([state.model for state in self._states.values()], request, prompt_tokens)
        if len(models) > 1:
            stats = {model.endpoint.id: self._states[model.endpoint.id].seen() for model in models}
            models = rank(models, prompt_tokens, request.max_output, stats)
        states = [self._states[model.endpoint.id] for model in models]
        now = self._clock.monotonic()
        return tuple(sorted(states, key=lambda state: state.breaker.state(now) == "open"))

    def all(self) -> tuple[EndpointState, ...]:
        """Return every endpoint, in the order of configuration."""
        return tuple(self._states.values())
