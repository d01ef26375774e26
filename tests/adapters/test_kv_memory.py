"""The suite of short-lived keys over this process's memory."""

import pytest

from multiagent.storage.kv.memory import MemoryKeyValue
from multiagent.testing.clock import ManualClock
from multiagent.testing.suites.kv import KeyValueSuite, Kv


class TestMemory(KeyValueSuite):
    @pytest.fixture
    def kv(self) -> Kv:
        clock = ManualClock()
        return Kv(MemoryKeyValue(clock, most=4), clock, 4)
