"""What a task that only planned came to, with what its run would probably use."""

from collections.abc import Mapping

import msgspec

from multiagent.app.ask import Ask
from multiagent.app.models import gate_config
from multiagent.app.record import Record
from multiagent.app.snapshot import task_settings
from multiagent.config.settings import Settings
from multiagent.core.errors import NotFound
from multiagent.core.plan import Mode, Plan
from multiagent.core.task import Attachment
from multiagent.core.tier import TIERS, Tier
from multiagent.core.usage import Rates
from multiagent.llm.factory import offered
from multiagent.llm.router import nearest
from multiagent.orchestrator.estimate import Estimator, PlanEstimate, TierPrices
from multiagent.orchestrator.uploads import unique_names


class Preview(msgspec.Struct, frozen=True):
    """The analysis, the plan, and the estimate."""

    mode: Mode
    score: float
    reasons: tuple[str, ...]
    plan: Plan
    degraded: bool
    estimate: PlanEstimate


class _Planned(msgspec.Struct, frozen=True):
    """The data of the result of a task that only planned."""

    mode: Mode
    score: float
    reasons: tuple[str, ...]
    plan: Plan
    degraded: bool = False


def preview(record: Record, settings: Settings, asked: Ask, environment: Mapping[str, str]) -> Preview:
    """Return the preview of a finished task that only planned; NotFound where it made no plan."""
    if record.result is None or "plan" not in record.result.data:
        raise NotFound(f"task {record.task} made no plan; `multiagent tasks show {record.task}` says why")
    found = msgspec.convert(record.result.data, _Planned)
    names = unique_names([path.name for path in asked.files])
    files = tuple(Attachment(name, "", path.stat().st_size, "") for name, path in zip(names, asked.files, strict=True))
    prices = tier_prices(settings, environment)
    estimator = Estimator(asked.query, files, task_settings(settings, asked, ""), found.mode, prices)
    return Preview(found.mode, found.score, found.reasons, found.plan, found.degraded, estimator.plan(found.plan))


def tier_prices(settings: Settings, environment: Mapping[str, str]) -> Mapping[Tier, TierPrices]:
    """Return the range of rates in each tier, as the configured models, or the one that is named, have them."""
    models = offered(gate_config(settings, "estimate"), environment)
    named = [one for one in models if settings.task.model in (one.endpoint.model, one.endpoint.id)]
    found: dict[Tier, TierPrices] = {}
    for tier in TIERS:
        serving = nearest({one.tier for one in models}, tier)
        chosen = named or [one for one in models if one.tier == serving]
        rates = sorted((one.rates for one in chosen), key=_dearness)
        found[tier] = TierPrices(rates[0], rates[-1], tuple(one.endpoint.model for one in chosen))
    return found


def _dearness(rates: Rates) -> int:
    return rates.prompt + rates.completion
