"""Every provider keeps what providers promise."""

from collections.abc import AsyncIterator

import pytest_asyncio

from multiagent.llm.factory import offline_servings
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai import OpenAiProvider
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Reply, Script, ScriptedCall
from multiagent.testing.suites.llm import ProviderDesk, ProviderSuite, ToolProviderSuite
from multiagent.testing.vendor_stub import VendorStub, stub_model


class TestStub(ProviderSuite):
    @pytest_asyncio.fixture
    async def provider(self) -> ProviderDesk:
        return ProviderDesk(VendorStub(), stub_model())


class TestOpenAi(ProviderSuite):
    @pytest_asyncio.fixture
    async def provider(self) -> AsyncIterator[ProviderDesk]:
        async with ScriptedVendor() as vendor, Connections() as connections:
            yield ProviderDesk(
                OpenAiProvider("fake", vendor.url, "k", connections, Profile(), Timeouts()), stub_model(vendor="fake")
            )


class TestOpenAiTools(ToolProviderSuite):
    @pytest_asyncio.fixture
    async def provider(self) -> AsyncIterator[ProviderDesk]:
        reply = Reply(text="", calls=(ScriptedCall("look", '{"thing": "it"}'),))
        async with ScriptedVendor(Script(default=reply)) as vendor, Connections() as connections:
            yield ProviderDesk(
                OpenAiProvider("fake", vendor.url, "k", connections, Profile(), Timeouts()), stub_model(vendor="fake")
            )


class TestOffline(ProviderSuite):
    @pytest_asyncio.fixture
    async def provider(self) -> ProviderDesk:
        serving = offline_servings()[0]
        return ProviderDesk(serving.provider, serving.model)
