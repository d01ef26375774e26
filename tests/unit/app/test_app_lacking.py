"""What a task waits for that no service does."""

from pathlib import Path

import pytest

from multiagent.app.lacking import absent, lacking
from multiagent.engines.base import Pending
from multiagent.testing.places import place_at

NOW = 1_000_000


def pending(key: str, queue: str, *, running: bool = False, waited_s: int = 1, workers: int = 1) -> Pending:
    return Pending(key, "think", queue, running, NOW - waited_s * 1000, 1, workers)


def test_a_queue_that_nobody_polls_is_named_with_what_to_start() -> None:
    found = absent([pending("a/t1/think/1", "q-llm", waited_s=60), pending("a/t1/act/1", "q-agent", workers=0)], NOW)
    assert "q-agent" in found
    assert "a/t1/act/1" in found
    assert found.endswith("multiagent serve agent")


def test_a_step_that_waits_long_is_named_though_somebody_was_there_a_moment_ago() -> None:
    found = absent([pending("a/t1/think/1", "q-llm", waited_s=20)], NOW)
    assert "waits in the queue q-llm for 20 s" in found
    assert found.endswith("multiagent serve llm")


@pytest.mark.parametrize(
    "steps", [[], [pending("k", "q-llm", running=True, waited_s=60, workers=0)], [pending("k", "q-llm", waited_s=2)]]
)
def test_what_is_done_or_was_only_just_asked_for_lacks_nothing(steps: list[Pending]) -> None:
    assert not absent(steps, NOW)


async def test_the_engine_of_this_program_lacks_no_service(tmp_path: Path) -> None:
    assert not await lacking(place_at(tmp_path), "any")
