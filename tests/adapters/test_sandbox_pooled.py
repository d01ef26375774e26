"""The pooled sandbox keeps what every sandbox promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from multiagent.sandbox.base import Sandbox
from multiagent.sandbox.factory import open_sandbox
from multiagent.testing.sandbox_fixture import sandbox_cache  # noqa: F401 - a fixture
from multiagent.testing.suites.sandbox import SandboxContainment, SandboxPrograms

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(sandbox_cache: Path) -> AsyncIterator[Sandbox]:  # noqa: F811 - the fixture above
    async with open_sandbox(sandbox_cache) as opened:
        yield opened


class TestPrograms(SandboxPrograms):
    pass


class TestContainment(SandboxContainment):
    pass
