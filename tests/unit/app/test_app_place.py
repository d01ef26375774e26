"""Where a platform is, and what follows from its settings: who works there, who may write, what its processes open."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from multiagent.app import place as places
from multiagent.app import policy, served
from multiagent.app.place import Eye, Place
from multiagent.app.policy import chosen_policy
from multiagent.app.serve import Serving, leave
from multiagent.app.served import together
from multiagent.app.system import SystemClock
from multiagent.app.vitals import Vitals
from multiagent.config.settings import Places
from multiagent.core.errors import ConfigInvalid
from multiagent.engines.factory import own_home
from multiagent.engines.temporal.options import Load
from multiagent.policy.base import OpaServer
from multiagent.testing.places import place_at
from tests.unit.app.settings_keys import configured, key

DATABASE = "postgresql://somebody@nowhere/here"


def somewhere(home: Path, **keys: object) -> Place:
    return Place(Places(str(home), str(home / "cache")), configured(**keys))


def noting(seen: list[dict[str, Any]]) -> Callable[..., None]:
    """Return what stands for an opener and notes what it is given."""
    return lambda *given, **named: seen.append({"given": given, **named})


@key("engine")
@key("storage.url")
def test_who_works_at_a_place_and_who_may_write_there(tmp_path: Path) -> None:
    alone, spread = somewhere(tmp_path), somewhere(tmp_path, engine="temporal", storage__url=DATABASE)
    assert (alone.served, alone.shared, alone.attended()) == (False, False, False)
    assert spread.served
    assert spread.shared
    with own_home(tmp_path):
        assert alone.owner() == os.getpid()
        assert alone.attended()
        assert spread.owner() is None
    assert spread.attended()


@key("storage.connections")
def test_all_that_is_opened_is_opened_as_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    for name in ("open_storage", "open_reader"):
        monkeypatch.setattr(places, name, noting(seen))
    shared = somewhere(tmp_path, storage__url=DATABASE, storage__connections=3)
    shared.storage()
    shared.reader()
    assert [(one["url"], one["connections"]) for one in seen] == [(DATABASE, 3)] * 2


@key("policy.url")
@key("policy.token")
@key("policy.timeout_s")
def test_which_server_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(policy, "open_deciding", noting(seen))
    chosen_policy(configured(policy__url="http://here:1", policy__token="t", policy__timeout_s=3), tmp_path)
    assert seen[0]["given"][0] == OpaServer("http://here:1", "t", 3.0)


@key("serve.host")
@key("serve.health_port")
@key("serve.metrics_port")
async def test_where_a_service_is_looked_at() -> None:
    settings = configured(serve__host="127.0.0.1", serve__health_port=0, serve__metrics_port=0).serve
    async with AsyncExitStack() as stack:
        health, metrics = await Vitals(SystemClock()).listen(stack, settings, 1)
        assert health.startswith("http://127.0.0.1:")
        assert metrics.startswith("http://127.0.0.1:")
        assert health.rpartition("/health")[0] != metrics.rpartition("/metrics")[0]


@key("serve.steps")
async def test_how_many_steps_a_service_does_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its workers do with it is in their own tests."""
    seen: list[dict[str, Any]] = []

    def opened(*given: Any) -> None:
        seen.append({"load": given[-1]})
        raise ConfigInvalid("enough is seen")

    monkeypatch.setattr(served, "open_workers", opened)
    where = somewhere(tmp_path, engine="temporal", serve__steps=3, serve__drain_s=7)
    with pytest.raises(ConfigInvalid, match="enough"):
        await together(Serving(where, ("agent", "llm"), {}, asyncio.Event()), Vitals(SystemClock()))
    assert seen == [{"load": Load(steps=3, grace_s=7.0)}]


@key("serve.drain_s")
def test_a_service_that_ends_says_how_long_its_steps_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And is ready no more; what runs for so long is in the tests of services."""
    serving = Serving(somewhere(tmp_path, serve__drain_s=7), ("agent",), {}, asyncio.Event())
    with caplog.at_level("INFO"):
        leave(serving, Vitals(SystemClock()))
    assert "7 s to end" in caplog.text


async def test_an_eye_opens_a_place_once_there_is_something_to_read(tmp_path: Path) -> None:
    place = place_at(tmp_path / "home")
    async with Eye(place) as eye:
        assert await eye.reader() is None
        async with place.storage():
            reader = await eye.reader()
            assert reader is not None
            assert await eye.reader() is reader
            assert await reader.commands() == ()
