"""Which adapters make up the gate: the only place that names them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from multiagent.core.budget import Limit
from multiagent.core.clock import Clock
from multiagent.core.decision import Decide
from multiagent.core.errors import ConfigInvalid
from multiagent.core.ids import Ids
from multiagent.core.tier import TIERS, Tier
from multiagent.core.usage import Rates
from multiagent.llm.base import Endpoint, ModelInfo, Provider
from multiagent.llm.catalog import Catalog, read_catalog
from multiagent.llm.gate import GateSettings, GateStorage, ModelGate
from multiagent.llm.gate_endpoints import Endpoints, Serving
from multiagent.llm.profiles import PROFILES
from multiagent.llm.providers.http import Connections

OFFLINE = "offline"


class GateConfig(msgspec.Struct, frozen=True):
    """Plain values of configuration. ``models`` is the parsed YAML of ``source``; ``owner`` names this process.

    ``model_day`` limits each model in a UTC day. ``offline_*`` slow down and break the built-in model: seconds a call,
    share of calls.
    """

    owner: str
    models: object = None
    source: str = "configs/models.yaml"
    cache_ttl_s: float = 3600.0
    offline_latency_s: float = 0.0
    offline_failure_rate: float = 0.0
    model_day: Limit = Limit()


class VendorLine(msgspec.Struct, frozen=True):
    """A vendor as `doctor` shows it; ``needs``: set one of these variables to switch it on."""

    name: str
    present: bool
    models: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def describe(config: GateConfig, environment: Mapping[str, str]) -> tuple[VendorLine, ...]:
    """Return every vendor, present ones first; the offline model where no other is present.

    Raises ConfigInvalid.
    """
    catalog = read_catalog(config.models, config.source, environment)
    lines = [
        VendorLine(vendor.name, present=True, models=tuple(model.endpoint.model for model in vendor.models))
        for vendor in catalog.vendors
    ]
    if not lines:
        lines.append(VendorLine(OFFLINE, present=True, models=tuple(f"{OFFLINE}-{tier}" for tier in TIERS)))
    lines += [VendorLine(absent.name, present=False, needs=absent.needs) for absent in catalog.absent]
    return tuple(lines)


def offered(config: GateConfig, environment: Mapping[str, str]) -> tuple[ModelInfo, ...]:
    """Return every model that can be asked, with its prices: the offline ones where no vendor is present.

    Raises ConfigInvalid.
    """
    catalog = read_catalog(config.models, config.source, environment)
    models = tuple(model for vendor in catalog.vendors for model in vendor.models)
    return models or tuple(_offline(tier) for tier in TIERS)


def is_offline(config: GateConfig, environment: Mapping[str, str]) -> bool:
    """Tell whether only the built-in stand-in answers."""
    return not read_catalog(config.models, config.source, environment).vendors


@asynccontextmanager
async def open_gate(
    config: GateConfig,
    storage: GateStorage,
    decide: Decide,
    clock: Clock,
    ids: Ids,
    environment: Mapping[str, str],
) -> AsyncIterator[ModelGate]:
    """Open the gate to every vendor that is present, else to the offline model; close it at the end of the block.

    Raises ConfigInvalid.
    """
    catalog = read_catalog(config.models, config.source, environment)
    async with Connections(environment) as connections:
        servings = _servings(catalog, environment, connections) or offline_servings(
            config.offline_latency_s, config.offline_failure_rate
        )
        settings = GateSettings(owner=config.owner, cache_ttl_s=config.cache_ttl_s, model_day=config.model_day)
        gate = ModelGate(Endpoints(servings, clock), storage, decide, clock, ids, settings)
        try:
            yield gate
        finally:
            await gate.close()
            for provider in {id(serving.provider): serving.provider for serving in servings}.values():
                await provider.close()


def _servings(catalog: Catalog, environment: Mapping[str, str], connections: Connections) -> list[Serving]:
    from multiagent.llm.providers.openai import OpenAiProvider

    servings: list[Serving] = []
    for vendor in catalog.vendors:
        key = environment.get(vendor.key_env, "").strip()
        if not key.isprintable() or not key.isascii():
            raise ConfigInvalid(f"{vendor.key_env} holds characters that no key has; set it again")
        provider: Provider = OpenAiProvider(
            vendor.name, vendor.base_url, key, connections, vendor.profile, vendor.timeouts
        )
        servings += [
            Serving(model, provider, vendor.profile, vendor.timeouts, vendor.requests_per_minute, vendor.capacity)
            for model in vendor.models
        ]
    return servings


def offline_servings(latency_s: float = 0.0, failure_rate: float = 0.0) -> list[Serving]:
    """Return the built-in model, which serves every tier at no cost."""
    from multiagent.llm.offline.provider import OfflineProvider

    provider: Provider = OfflineProvider(latency_s=latency_s, failure_rate=failure_rate)
    return [
        Serving(
            _offline(tier),
            provider,
            PROFILES[OFFLINE],
        )
        for tier in TIERS
    ]


def _offline(tier: Tier) -> ModelInfo:
    return ModelInfo(Endpoint(OFFLINE, f"{OFFLINE}-{tier}"), tier, 1.0, Rates(), context=1_000_000)
