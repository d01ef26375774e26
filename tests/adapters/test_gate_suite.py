"""The gate keeps what every gate promises, over a vendor in process and over one by HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from multiagent.core.usage import Rates
from multiagent.llm.factory import offline_servings
from multiagent.llm.gate_endpoints import Serving
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai import OpenAiProvider
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.suites.llm import Desk, GateSuite
from multiagent.testing.vendor_stub import RATES, VendorStub, stub_model
from tests.adapters.gate_bench import gate_over


class TestInProcess(GateSuite):
    @pytest_asyncio.fixture
    async def desk(self, tmp_path: Path) -> AsyncIterator[Desk]:
        async with gate_over(tmp_path, [Serving(stub_model(), VendorStub())]) as bench:
            yield bench.desk

    def rates_of(self, model: str) -> Rates:
        return RATES


class TestByHttp(GateSuite):
    @pytest_asyncio.fixture
    async def desk(self, tmp_path: Path) -> AsyncIterator[Desk]:
        async with ScriptedVendor() as vendor, Connections() as connections:
            provider = OpenAiProvider("fake", vendor.url, "k", connections, Profile(), Timeouts())
            async with gate_over(tmp_path, [Serving(stub_model(vendor="fake"), provider)]) as bench:
                yield bench.desk

    def rates_of(self, model: str) -> Rates:
        return RATES


class TestOffline(GateSuite):
    @pytest_asyncio.fixture
    async def desk(self, tmp_path: Path) -> AsyncIterator[Desk]:
        async with gate_over(tmp_path, offline_servings()) as bench:
            yield bench.desk

    def rates_of(self, model: str) -> Rates:
        return Rates()
