"""A tool that cannot be undone, killed between what it did and what it would have answered."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from multiagent.core.task import TaskResult
from multiagent.orchestrator.workflows import TASK
from multiagent.testing.replayed import Register
from tests.chaos.effect_worker import Post, posting
from tests.unit.orchestrator.task_house import open_house


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose process was killed right after the effect."""
    home = tmp_path / "home"
    home.mkdir()
    killed = subprocess.run(
        [sys.executable, "-m", "tests.chaos.effect_worker", str(home)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return home


@pytest.mark.requirement("S.reliability.durable")
async def test_an_effect_that_may_have_happened_is_not_repeated_and_the_other_agents_go_on(
    home: Path, register: Register
) -> None:
    """Its agent fails and says what to do; the task is completed without it, as a partial answer."""
    async with open_house(home, register, posting, tools=(Post(home / "posted"),)) as house:
        (task,) = await house.engine.recover()
        ended = await house.engine.result("local", task)
        reader, objects = house.stage.storage.reader, house.stage.storage.objects
        agents = {one.agent: one for one in await reader.agents("local", task)}
        register.start(str(home), task)
        await register.record(str(home), task, reader, objects, TASK, "local")
    assert (home / "posted").read_text().splitlines() == ["a/north/act/1/0/run"]
    assert (agents["north"].status, agents["south"].status) == ("failed", "completed")
    told = agents["north"].result
    for part in ("post was interrupted (step a/north/act/1/0/run)", "was not run again", "ask for it in a new task"):
        assert part in told
    result = msgspec.json.decode(ended.value, type=TaskResult)
    assert (ended.status, result.partial, result.text) == ("completed", True, "the synthesize answer")
    assert any(part.startswith("North: post was interrupted") for part in result.missing)
