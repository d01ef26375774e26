"""The gate as it is opened: by configuration and environment."""

from pathlib import Path

import pytest
import yaml

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Amount
from multiagent.core.errors import ConfigInvalid, VendorUnauthorized
from multiagent.llm.base import Answer
from multiagent.llm.factory import GateConfig, open_gate
from multiagent.llm.gate import GateStorage
from multiagent.storage.factory import open_storage
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Script
from multiagent.testing.suites.llm import TASK, TENANT, asks, calls
from tests.adapters.gate_bench import allow

MODELS = yaml.safe_load((Path(__file__).parents[2] / "configs/models.yaml").read_text(encoding="utf-8"))


async def answer(home: Path, environment: dict[str, str]) -> tuple[Answer, Amount]:
    clock, ids = SystemClock(), SystemIds()
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        parts = GateStorage(storage.writer, storage.reader, storage.kv)
        async with open_gate(GateConfig("me", MODELS), parts, allow, clock, ids, environment) as gate:
            got = await gate.complete(asks("What is 2 + 3?"), calls(clock))
        state = await storage.reader.scope(TENANT, TASK)
        assert state is not None
        return got, state.used


async def test_without_a_key_the_offline_model_answers_for_nothing(tmp_path: Path) -> None:
    """Its tokens are our own estimate, marked so, and settled."""
    got, used = await answer(tmp_path, {})
    assert (got.vendor, got.model, got.cost_pico, got.estimated) == ("offline", "offline-small", 0, True)
    assert used == Amount(got.usage.total, 0)


async def test_a_vendor_is_reached_by_base_url_and_key(tmp_path: Path) -> None:
    """By two variables, at its listed prices."""
    async with ScriptedVendor(Script(key="sk-1")) as vendor:
        got, used = await answer(tmp_path, {"OPENAI_BASE_URL": vendor.url, "OPENAI_API_KEY": "sk-1\n"})
        assert (got.vendor, got.model, got.text) == ("openai", "gpt-4.1-nano", "It is so.")
        assert used == Amount(vendor.bill.tokens, got.cost_pico)
        assert got.cost_pico == vendor.bill.prompt * 100_000 + vendor.bill.completion * 400_000


async def test_a_wrong_key_is_said_so(tmp_path: Path) -> None:
    async with ScriptedVendor(Script(key="sk-1")) as vendor:
        with pytest.raises(VendorUnauthorized, match="openai refused the key"):
            await answer(tmp_path, {"OPENAI_BASE_URL": vendor.url, "OPENAI_API_KEY": "sk-2"})


async def test_a_model_server_needs_no_key_and_costs_nothing(tmp_path: Path) -> None:
    async with ScriptedVendor() as vendor:
        got, used = await answer(tmp_path, {"OLLAMA_BASE_URL": vendor.url, "OLLAMA_MODEL": "mine"})
        assert (got.vendor, got.model, got.cost_pico) == ("ollama", "mine", 0)
        assert used == Amount(vendor.bill.tokens, 0)


async def test_a_key_that_no_header_can_carry_is_refused_at_once(tmp_path: Path) -> None:
    """By the name of its variable, never by its value."""
    with pytest.raises(ConfigInvalid, match="OPENAI_API_KEY") as refused:
        await answer(tmp_path, {"OPENAI_API_KEY": "ключ"})
    assert "ключ" not in refused.value.message
