"""The catalog: what configs/models.yaml may say, and what each mistake in it is called."""

from pathlib import Path

import pytest
import yaml

from multiagent.core.errors import ConfigInvalid
from multiagent.core.usage import Rates
from multiagent.llm.catalog import Absent, Catalog, listed_rates, read_catalog
from multiagent.llm.factory import GateConfig, VendorLine, describe, is_offline
from multiagent.llm.profiles import Timeouts

ROOT = Path(__file__).parents[3]
VENDOR = """
vendors:
  - name: acme
    wire: openai
    base_url: https://api.acme.test/v1
    base_url_env: ACME_URL
    key_env: ACME_KEY
    model_env: ACME_MODEL
    models:
      - {name: tiny, tier: small, prices: {prompt: 0.15, completion: "0.60", cached: 0.075, call: 0.001}}
      - {name: huge, tier: large, priority: 2, context: 5000, prices: {prompt: 3, completion: 15}}
"""
KEYED = {"ACME_KEY": "k"}


def read(text: str, **environment: str) -> Catalog:
    return read_catalog(yaml.safe_load(text), "models.yaml", environment)


def test_prices_are_exact_whatever_their_notation() -> None:
    """Dollars a million tokens become whole pico-dollars a token; what is not priced costs as plain prompt."""
    tiny, huge = read(VENDOR, **KEYED).vendors[0].models
    assert tiny.rates == Rates(prompt=150_000, completion=600_000, cached=75_000, written=150_000, call=10**9)
    assert huge.rates == Rates(prompt=3_000_000, completion=15_000_000, cached=3_000_000, written=3_000_000)
    assert (huge.priority, huge.context, huge.endpoint.id) == (2.0, 5000, "acme/default/-/huge")


def test_a_vendor_without_key_or_url_in_the_environment_is_absent() -> None:
    """And it is said what would switch it on."""
    assert read(VENDOR) == Catalog(absent=(Absent("acme", ("ACME_KEY", "ACME_URL")),))
    assert read(VENDOR, ACME_KEY="") == read(VENDOR)


def test_a_base_url_of_ones_own_replaces_the_vendors() -> None:
    """Without a key its calls are sent without one."""
    vendor = read(VENDOR, ACME_URL="http://localhost:1/v1").vendors[0]
    assert vendor.base_url == "http://localhost:1/v1"


def test_one_model_from_the_environment_replaces_the_list() -> None:
    """A listed one keeps its entry; another serves every tier, and without a key it costs nothing."""
    assert [one.endpoint.model for one in read(VENDOR, ACME_MODEL="huge", **KEYED).vendors[0].models] == ["huge"]
    own = read(VENDOR, ACME_MODEL="mine", ACME_URL="http://localhost:1/v1").vendors[0].models
    assert [(one.endpoint.model, one.rates) for one in own] == [("mine", Rates())]
    with pytest.raises(ConfigInvalid, match=r"vendor 'acme': model 'mine': no price is known"):
        read(VENDOR, ACME_MODEL="mine", **KEYED)


MISTAKES = {
    "an unknown key": ("wire: openai", "wire: openai\n    wyre: x", "unknown field `wyre`"),
    "a wrong type": ("tier: small", "tier: [small]", r"models\[0\]\.tier"),
    "an unknown tier": ("tier: small", "tier: smal", "'smal'"),
    "an unknown wire": ("wire: openai", "wire: smoke", "'smoke'"),
    "no name": ("name: acme", "account: acme", "missing required field `name`"),
    "an unknown profile": (
        "wire: openai",
        "wire: openai\n    profile: nope",
        "profile 'nope' is none of deepseek, default",
    ),
    "a price that is none": ("prompt: 0.15", "prompt: cheap", "'cheap' is not a price"),
    "a negative price": ("prompt: 0.15", "prompt: -1", "zero or more"),
    "an endless price": ("prompt: 0.15", "prompt: .inf", "zero or more"),
    "no way to switch it on": (
        "    base_url_env: ACME_URL\n    key_env: ACME_KEY\n",
        "",
        "key_env or base_url_env",
    ),
    "no address": (
        "    base_url: https://api.acme.test/v1\n    base_url_env: ACME_URL\n",
        "",
        "base_url or base_url_env",
    ),
    "an address that is none": ("https://api.acme.test", "api.acme.test", "http URL"),
    "no calls at once": ("wire: openai", "wire: openai\n    capacity: 0", "capacity"),
    "no calls a minute": ("wire: openai", "wire: openai\n    requests_per_minute: 0", "requests_per_minute"),
    "no time": ("wire: openai", "wire: openai\n    timeouts: {idle: 0}", "timeouts"),
    "no priority": ("priority: 2", "priority: 0", "'huge': priority"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_place(mistake: str) -> None:
    right, wrong, said = MISTAKES[mistake]
    assert right in VENDOR
    with pytest.raises(ConfigInvalid, match=said) as refused:
        read(VENDOR.replace(right, wrong), **KEYED)
    assert refused.value.message.startswith("models.yaml: ")


def test_a_vendor_stands_there_once() -> None:
    with pytest.raises(ConfigInvalid, match="more than once"):
        read(VENDOR + VENDOR.replace("\nvendors:\n", ""))


@pytest.mark.parametrize("document", [[], "text", 1])
def test_a_file_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(ConfigInvalid, match=r"models\.yaml"):
        read_catalog(document, "models.yaml", {})


def test_an_empty_file_means_no_vendors() -> None:
    assert read_catalog(None, "models.yaml", {}) == Catalog()


def test_the_shipped_file_is_right_and_every_price_in_it_is_known() -> None:
    """With all vendors switched on; OpenAI's models fill the three tiers."""
    document = yaml.safe_load((ROOT / "configs/models.yaml").read_text(encoding="utf-8"))
    needed = read_catalog(document, "configs/models.yaml", {}).absent
    environment = {name: "http://localhost:1/v1" if "URL" in name else "k" for one in needed for name in one.needs}
    catalog = read_catalog(document, "configs/models.yaml", environment)
    assert not catalog.absent
    tiers = [model.tier for vendor in catalog.vendors if vendor.name == "openai" for model in vendor.models]
    assert tiers == ["small", "medium", "large"]
    for vendor in catalog.vendors:
        assert all((model.rates == Rates()) == (vendor.name == "ollama") for model in vendor.models)
    ollama = next(vendor for vendor in catalog.vendors if vendor.name == "ollama")
    assert ollama.timeouts == Timeouts(first_byte=300, idle=60, total=900)


def test_listed_prices_are_the_dearest_that_can_apply() -> None:
    """Of prices in steps the top one: a bound must hold on either side of a step."""
    stepped, plain = listed_rates("openai", "gpt-5.4"), listed_rates("openai", "gpt-4.1-mini")
    assert plain == Rates(prompt=400_000, completion=1_600_000, cached=100_000, written=400_000)
    assert stepped is not None
    assert stepped.prompt > 2_500_000
    assert listed_rates("openai", "no such model at all") is None
    assert listed_rates("no such vendor", "gpt-4.1") is None


def test_without_a_vendor_the_offline_model_serves_every_tier() -> None:
    """And doctor shows it, with what would replace it."""
    config = GateConfig("me", yaml.safe_load(VENDOR))
    assert is_offline(config, {})
    assert describe(config, {}) == (
        VendorLine("offline", present=True, models=("offline-small", "offline-medium", "offline-large")),
        VendorLine("acme", present=False, needs=("ACME_KEY", "ACME_URL")),
    )
    assert not is_offline(config, KEYED)
    assert describe(config, KEYED) == (VendorLine("acme", present=True, models=("tiny", "huge")),)
