"""Which vendors and models there are: a typed reading of configs/models.yaml against the environment.

A vendor is present where its key, or a base URL of its own, is in the environment. Prices come from the file, else
from the ``genai-prices`` tables.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Final, Literal

import msgspec

from multiagent.core.errors import ConfigInvalid
from multiagent.core.tier import Tier
from multiagent.core.usage import Rates
from multiagent.llm.base import Endpoint, ModelInfo
from multiagent.llm.profiles import PROFILES, Profile, Timeouts

_PICO_A_TOKEN: Final = 1_000_000
"""A dollar a million tokens, in pico-dollars a token."""

Wire = Literal["openai"]
Price = str | int | float


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars a million tokens; ``call`` is a fixed fee in dollars a call."""

    prompt: Price
    completion: Price
    cached: Price | None = None
    written: Price | None = None
    call: Price = 0


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a vendor, as the file has it."""

    name: str
    tier: Tier
    priority: float = 1.0
    context: int = 128_000
    max_output: int = 8_192
    overhead_tokens: int = 64
    tools: bool = True
    prices: Prices | None = None


class VendorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vendor, as the file has it. The ``…_env`` fields name environment variables.

    ``model_env`` names one model that replaces the listed ones; ``prices_from`` is the vendor's name in genai-prices;
    ``free`` says that its calls cost nothing (a model server of one's own).
    """

    name: str
    wire: Wire
    models: tuple[ModelEntry, ...] = ()
    base_url: str = ""
    base_url_env: str = ""
    key_env: str = ""
    model_env: str = ""
    profile: str = "default"
    prices_from: str = ""
    free: bool = False
    account: str = "default"
    region: str = ""
    requests_per_minute: float | None = None
    capacity: int = 64
    timeouts: Timeouts = Timeouts()


class CatalogFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    vendors: tuple[VendorEntry, ...] = ()


class Vendor(msgspec.Struct, frozen=True):
    """A vendor that can be asked. Its key stays in the environment, under ``key_env``."""

    name: str
    wire: Wire
    base_url: str
    key_env: str
    profile: Profile
    timeouts: Timeouts
    models: tuple[ModelInfo, ...]
    requests_per_minute: float | None = None
    capacity: int = 64


class Absent(msgspec.Struct, frozen=True):
    """A vendor that cannot be asked, and the environment variables of which one would make it present."""

    name: str
    needs: tuple[str, ...]


class Catalog(msgspec.Struct, frozen=True):
    """What the file and the environment say together."""

    vendors: tuple[Vendor, ...] = ()
    absent: tuple[Absent, ...] = ()


def read_catalog(document: object, source: str, environment: Mapping[str, str]) -> Catalog:
    """Return the catalog of a parsed YAML document; ``source`` is the file's name for errors.

    Raises ConfigInvalid naming the file and the key: an unknown key, a wrong type, a vendor twice, an unknown profile,
    no base URL, a model without a known price.
    """
    try:
        file = msgspec.convert(document if document is not None else {}, CatalogFile)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"{source}: {error}") from None
    names = [entry.name for entry in file.vendors]
    for name in names:
        if names.count(name) > 1:
            raise ConfigInvalid(f"{source}: vendor {name!r} stands there more than once")
    vendors: list[Vendor] = []
    absent: list[Absent] = []
    for entry in file.vendors:
        _check(entry, source)
        if environment.get(entry.key_env) or environment.get(entry.base_url_env):
            vendors.append(_vendor(entry, source, environment))
        else:
            absent.append(Absent(entry.name, tuple(name for name in (entry.key_env, entry.base_url_env) if name)))
    return Catalog(tuple(vendors), tuple(absent))


def _check(entry: VendorEntry, source: str) -> None:
    where = f"{source}: vendor {entry.name!r}"
    if entry.profile not in PROFILES:
        raise ConfigInvalid(f"{where}: profile {entry.profile!r} is none of {', '.join(sorted(PROFILES))}")
    if not entry.key_env and not entry.base_url_env:
        raise ConfigInvalid(f"{where}: give key_env or base_url_env, so that it can be switched on")
    if not entry.base_url and not entry.base_url_env:
        raise ConfigInvalid(f"{where}: give base_url or base_url_env")
    if not entry.models and not entry.model_env:
        raise ConfigInvalid(f"{where}: give models or model_env")
    if entry.capacity < 1 or (entry.requests_per_minute is not None and entry.requests_per_minute <= 0):
        raise ConfigInvalid(f"{where}: capacity and requests_per_minute must be over 0")
    if min(entry.timeouts.connect, entry.timeouts.first_byte, entry.timeouts.idle, entry.timeouts.total) <= 0:
        raise ConfigInvalid(f"{where}: timeouts must be over 0 seconds")
    for model in entry.models:
        if model.priority <= 0 or model.context < 1 or model.max_output < 1 or model.overhead_tokens < 0:
            raise ConfigInvalid(f"{where}: model {model.name!r}: priority, context and max_output must be over 0")


def _vendor(entry: VendorEntry, source: str, environment: Mapping[str, str]) -> Vendor:
    base_url = environment.get(entry.base_url_env) or entry.base_url
    if not base_url.startswith(("http://", "https://")):
        raise ConfigInvalid(
            f"{source}: vendor {entry.name!r}: set base_url, or {entry.base_url_env or 'base_url_env'}, to an http URL"
        )
    named = environment.get(entry.model_env)
    entries = (_named(entry, named),) if named else entry.models
    if not entries:
        raise ConfigInvalid(f"{source}: vendor {entry.name!r}: set {entry.model_env} to the model's name")
    free = entry.free or not environment.get(entry.key_env)
    models = tuple(
        ModelInfo(
            endpoint=Endpoint(entry.name, model.name, entry.account, entry.region),
            tier=model.tier,
            priority=model.priority,
            rates=_rates(entry, model, source, free=free),
            context=model.context,
            max_output=model.max_output,
            overhead_tokens=model.overhead_tokens,
            tools=model.tools,
        )
        for model in entries
    )
    return Vendor(
        name=entry.name,
        wire=entry.wire,
        base_url=base_url,
        key_env=entry.key_env,
        profile=PROFILES[entry.profile],
        timeouts=entry.timeouts,
        models=models,
        requests_per_minute=entry.requests_per_minute,
        capacity=entry.capacity,
    )


def _named(entry: VendorEntry, name: str) -> ModelEntry:
    """The listed model of that name, else one that serves every tier (there is no other)."""
    listed = [model for model in entry.models if model.name == name]
    return listed[0] if listed else ModelEntry(name, "medium")


def _rates(entry: VendorEntry, model: ModelEntry, source: str, *, free: bool) -> Rates:
    where = f"{source}: vendor {entry.name!r}: model {model.name!r}"
    if model.prices is not None:
        prices = model.prices
        prompt = _pico(prices.prompt, where)
        return Rates(
            prompt=prompt,
            completion=_pico(prices.completion, where),
            cached=prompt if prices.cached is None else _pico(prices.cached, where),
            written=prompt if prices.written is None else _pico(prices.written, where),
            call=_pico(prices.call, where) * _PICO_A_TOKEN,
        )
    if free:
        return Rates()
    rates = listed_rates(entry.prices_from or entry.name, model.name)
    if rates is None:
        raise ConfigInvalid(
            f"{where}: no price is known; write prices: {{prompt: …, completion: …}} (US dollars a million tokens), "
            f"or, where its calls cost nothing, free: true"
        )
    return rates


def _pico(price: Price, where: str) -> int:
    try:
        amount = Decimal(str(price))
    except InvalidOperation:
        raise ConfigInvalid(f"{where}: {price!r} is not a price in US dollars a million tokens") from None
    if not amount.is_finite() or amount < 0:
        raise ConfigInvalid(f"{where}: a price must be zero or more, not {price}")
    return _ceil(amount)


def _ceil(dollars_a_million: Decimal) -> int:
    pico = dollars_a_million * _PICO_A_TOKEN
    return int(pico) + (pico != int(pico))


@cache
def listed_rates(vendor: str, model: str) -> Rates | None:
    """Return the dearest listed prices of a model (the top step of tiered ones), None where it is not listed."""
    from datetime import UTC, datetime

    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import TieredPrices

    try:
        _, found = get_snapshot().find_provider_model(model, None, vendor, None)
    except LookupError:
        return None
    prices = found.get_prices(datetime.now(UTC))

    def dearest(name: str) -> Decimal | None:
        price = getattr(prices, name, None)
        if isinstance(price, TieredPrices):
            return max([price.base, *(step.price for step in price.tiers)])
        return price if isinstance(price, Decimal) else None

    prompt, completion = dearest("input_mtok"), dearest("output_mtok")
    if prompt is None or completion is None:
        return None
    cached, written = dearest("cache_read_mtok"), dearest("cache_write_mtok")
    return Rates(
        prompt=_ceil(prompt),
        completion=_ceil(completion),
        cached=_ceil(prompt if cached is None else cached),
        written=_ceil(prompt if written is None else written),
    )
