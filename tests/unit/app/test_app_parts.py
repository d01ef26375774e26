"""The small parts of the assembly: the frozen settings, fault points, following, grants."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from multiagent.app.ask import Ask
from multiagent.app.faults import arm
from multiagent.app.follow import follow
from multiagent.app.models import gate_config, offline_hint
from multiagent.app.sandbox import grant, limits
from multiagent.app.snapshot import model_limit, scope_limits, task_settings
from multiagent.config.settings import BudgetSettings, SandboxSettings, Settings, TaskLimits
from multiagent.core.budget import Limit
from multiagent.core.errors import ConfigInvalid, InvalidInput
from multiagent.core.events import Event, EventHeader, EventKind
from multiagent.core.fault import fault
from multiagent.core.money import PICO


def test_what_the_caller_asks_for_wins_over_configuration() -> None:
    """And what is not asked for is the configured value."""
    settings = Settings(task=TaskLimits(max_turns=3, tier="small"))
    plain = task_settings(settings, Ask("q"), "p1")
    assert (plain.tier, plain.max_turns, plain.limit, plain.policy_version) == ("small", 3, Limit(200_000, PICO), "p1")
    asked = task_settings(settings, Ask("q", (), 500, 7, "large", 2), "p1")
    assert (asked.tier, asked.max_agents, asked.limit) == ("large", 2, Limit(500, 7))
    assert scope_limits(settings).user_day == Limit(None, 100 * PICO)


def test_every_scope_has_its_configured_limit_and_empty_is_none() -> None:
    """Dollars a day for user, tenant and each model; tokens for a session, whole."""
    none = Settings()
    assert (scope_limits(none).tenant_day, scope_limits(none).session, model_limit(none)) == (Limit(), Limit(), Limit())
    budget = BudgetSettings(
        request_usd="", task_usd="", user_day_usd="", tenant_day_usd="5", model_day_usd="2.50", session_tokens=900
    )
    some = Settings(budget=budget)
    assert (scope_limits(some).tenant_day, scope_limits(some).user_day) == (Limit(None, 5 * PICO), Limit())
    assert (scope_limits(some).session, model_limit(some)) == (Limit(900), Limit(None, 5 * PICO // 2))
    assert gate_config(some, "me").model_day == model_limit(some)
    task = task_settings(some, Ask("q"), "")
    assert (task.limit, task.request_limit) == (Limit(200_000), Limit())


def test_a_fault_point_counts_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed at the pass that is named, and only there."""
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda _pid, number: killed.append(number))
    arm({"MULTIAGENT_FAULT": "here:2"})
    try:
        fault("there")
        fault("here")
        assert killed == []
        fault("here")
        fault("here")
        assert killed == [9]
        with pytest.raises(ConfigInvalid):
            arm({"MULTIAGENT_FAULT": "here:often"})
    finally:
        arm({})
    fault("here")
    assert killed == [9]


class _Store:
    """Events in memory, and the writer's bell."""

    def __init__(self) -> None:
        self.kinds: list[EventKind] = []
        self.bells: list[Any] = []

    def add(self, kind: EventKind) -> None:
        self.kinds.append(kind)
        for bell in self.bells:
            bell([self._header(len(self.kinds))])

    def _header(self, seq: int) -> EventHeader:
        return EventHeader(1, "t", f"{seq}", "task", seq, f"w/{seq}", self.kinds[seq - 1], 0, "", "", "", "", "")

    async def events(self, _tenant: str, _task: str, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        return tuple(Event(self._header(seq)) for seq in range(after + 1, min(len(self.kinds), after + limit) + 1))

    def on_commit(self, bell: Any) -> Any:
        self.bells.append(bell)
        return lambda: self.bells.remove(bell)


async def test_following_misses_nothing_and_ends_with_the_task() -> None:
    """Old events first, then new ones as they are committed; the bell is given back."""
    store: Any = _Store()
    store.add(EventKind.TASK_SUBMITTED)
    seen: list[int] = []

    async def watch() -> None:
        seen.extend([event.header.seq async for event in follow(store, store, "t", "task")])

    watching = asyncio.create_task(watch())
    for kind in (EventKind.TASK_STARTED, EventKind.TASK_PLANNED, EventKind.TASK_COMPLETED):
        await asyncio.sleep(0)
        store.add(kind)
    await asyncio.wait_for(watching, 10)
    assert seen == [1, 2, 3, 4]
    assert store.bells == []


async def test_following_another_process_polls() -> None:
    """Without a writer the store is looked at again and again."""
    store: Any = _Store()
    store.add(EventKind.TASK_SUBMITTED)
    stream = follow(store, None, "t", "task")
    assert (await anext(stream)).header.seq == 1
    store.add(EventKind.TASK_FAILED)
    assert [event.header.seq async for event in stream] == [2]


def test_a_grant_names_a_folder_that_exists(tmp_path: Path) -> None:
    """Read-only unless it says rw."""
    assert grant(str(tmp_path)).writable is False
    assert grant(f"{tmp_path}:rw").writable is True
    with pytest.raises(InvalidInput, match="not a folder"):
        grant(str(tmp_path / "none"))
    assert limits(SandboxSettings(memory_mib=64), 2.0).memory_bytes == 64 << 20


def test_the_hint_names_the_keys_that_would_replace_the_stand_in() -> None:
    """Only while no vendor is configured."""
    config = gate_config(Settings(), "me")
    assert "OPENAI_API_KEY" in offline_hint(config, {})
    assert offline_hint(config, {"OPENAI_API_KEY": "k"}) == ""


def test_a_models_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no YAML."""
    broken = tmp_path / "m.yaml"
    broken.write_text("vendors: [", "utf-8")
    for path in (broken, tmp_path / "none.yaml"):
        with pytest.raises(ConfigInvalid, match=path.name):
            gate_config(Settings(models_file=str(path)), "me")
