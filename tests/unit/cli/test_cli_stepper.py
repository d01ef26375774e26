"""Stepping through a run: every command, on a scripted terminal."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from multiagent.app.travel import Walk, tour
from multiagent.cli.stepper import Breakpoint, Stepper, breakpoint_of
from multiagent.core.errors import InvalidInput
from multiagent.core.messages import Message, says
from multiagent.testing.places import place_at
from multiagent.testing.replayed import Register
from tests.replay import product_run


class Typed:
    """A terminal on which these lines are typed."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self.prompts: list[str] = []
        self.shown: list[str] = []

    def ask(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        return self._lines.pop(0) if self._lines else None

    def show(self, text: str) -> None:
        self.shown.append(text)


@pytest.fixture
async def walk(tmp_path: Path, register: Register) -> Walk:
    (tmp_path / "kept").mkdir()
    await product_run.record(tmp_path / "home", register, tmp_path / "kept")
    return await tour(place_at(tmp_path / "home"), product_run.ID)


async def transcript(head: str) -> Sequence[Message]:
    return (says("system", "be brief"), says("user", f"until {head}"), says("assistant", "done")) if head else ()


async def stepped(walk: Walk, *lines: str, breaks: Sequence[Breakpoint] = ()) -> Typed:
    typed = Typed(*lines)
    await Stepper(walk, transcript, typed, breaks).run()
    return typed


async def test_forward_back_and_jump_move_and_stay_inside(walk: Walk) -> None:
    total = len(walk.stops)
    typed = await stepped(walk, "b", "n", "", "b", f"j {total}", "n", "j a/t1/think/1", "j 99", "j nowhere", "j", "q")
    at = [int(prompt[1:].partition("/")[0]) for prompt in typed.prompts]
    think = walk.cut("a/t1/think/1")
    assert at == [0, 0, 1, 2, 1, total, total, think, think, think, think]
    assert any("this is the beginning" in text for text in typed.shown)
    assert any("last step" in text for text in typed.shown)


async def test_a_step_shows_inputs_prompt_output_and_cost(walk: Walk) -> None:
    typed = await stepped(walk, "i", "j a/t1/think/1", "i", "p", "o", "s", "l", "h", "x y")
    scene = typed.shown[3]
    for part in ("input:", "prompt (2 messages)", "be brief", "answer:", "done", "output:", "cost: 15 tokens"):
        assert part in scene
    assert "go to a step first" in typed.shown[2]
    assert typed.shown[4].startswith('{"seat"')
    assert typed.shown[5].startswith("system: be brief")
    assert "agents:" in typed.shown[7]
    assert typed.shown[8].count("\n") + 1 == len(walk.stops)
    assert "next breakpoint" in typed.shown[9]
    assert "unknown: x" in typed.shown[10]


async def test_breakpoints_stop_at_agents_tools_and_events(walk: Walk) -> None:
    at = [stop.n for stop in walk.stops if stop.agent == "t2"]
    typed = await stepped(walk, "c", "c", breaks=[Breakpoint("agent", "t2")])
    assert [f"[{n}/" for n in at[:2]] == [prompt.partition("/")[0] + "/" for prompt in typed.prompts[1:]]
    event = next(stop.n for stop in walk.stops if "task.planned" in stop.kinds)
    typed = await stepped(walk, "break event=task.planned", "c", "c", "c", "clear", "break", "break tree=1")
    assert typed.prompts[2].startswith(f"[{event}/")
    assert typed.prompts[3].startswith(f"[{len(walk.stops)}/")
    assert typed.shown[-2] == "breakpoints: none"
    assert "agent=ID" in typed.shown[-1]


@pytest.mark.parametrize("text", ["", "agent", "agent=", "model=x", "=x"])
def test_a_breakpoint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="agent=ID"):
        breakpoint_of(text)


def test_a_tools_breakpoint_names_the_tool() -> None:
    assert breakpoint_of("tool=python") == Breakpoint("tool", "python")
