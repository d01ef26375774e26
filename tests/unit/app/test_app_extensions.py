"""Tools and agents of users' own are taken over in each of their forms, or refused with the reason."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import cast

import pytest

from multiagent.agents.custom import CustomAgent
from multiagent.app import extensions
from multiagent.app.extensions import asked_for, capabilities, load_extensions
from multiagent.core.errors import ConfigInvalid

MODULE = '''
from multiagent.agents.custom import AgentAnswer, Health
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import ToolOutput


async def convert(amount: float) -> str:
    """Convert an amount."""
    return str(amount)


class Stock:
    name = "stock"
    description = "Look up stock"
    schema = {"type": "object"}

    async def execute(self, parameters):
        return {"success": True}


class Plain:
    spec = ToolSpec("plain", "says hello", '{"type":"object"}')

    async def execute(self, arguments, context):
        return ToolOutput("hello")


class Auditor:
    name = "auditor"

    async def execute_task(self, task, desk):
        return AgentAnswer("fine")

    async def get_capabilities(self):
        return ["audits"]

    async def health_check(self):
        return Health()


class Needy(Auditor):
    def __init__(self, key):
        self.key = key


class Half:
    name = "half"

    async def execute_task(self, task, desk):
        return AgentAnswer("fine")

    async def get_capabilities(self):
        return []

    def health_check(self):
        return Health()


class Nameless(Auditor):
    name = ""


class Hooked(Auditor):
    name = "hooked"

    def preprocess_task(self, task):
        return task


many = [convert, Stock, Auditor()]
number = 7
'''


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "user_parts.py").write_text(MODULE, "utf-8")
    (tmp_path / "user_broken.py").write_text("raise RuntimeError('no licence')", "utf-8")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("user_parts", "user_broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "tools", "agents"),
    [
        ("convert", ["convert"], []),
        ("Stock", ["stock"], []),
        ("Plain", ["plain"], []),
        ("Auditor", [], ["auditor"]),
        ("many", ["convert", "stock"], ["auditor"]),
    ],
)
@pytest.mark.requirement("S.agents.custom")
def test_every_form_is_taken_over(folder: Path, name: str, tools: list[str], agents: list[str]) -> None:
    found = load_extensions([f"user_parts:{name}"], folder)
    assert [tool.spec.name for tool in found.tools] == tools
    assert list(found.agents) == agents
    assert found.loads == {f"user_parts:{name}"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("user_parts", "write module:name"),
        ("nowhere_at_all:x", "cannot be imported: ModuleNotFoundError"),
        ("user_broken:x", "cannot be imported: RuntimeError: no licence"),
        ("user_parts:missing", "user_parts has no 'missing'"),
        ("user_parts:number", "int is no tool and no agent"),
        ("user_parts:Needy", "must be made without arguments"),
        ("user_parts:Half", "needs `async def health_check`"),
        ("user_parts:Nameless", "needs a `name`"),
        ("user_parts:Hooked", "needs `async def preprocess_task`"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_with_the_reason(folder: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_extensions([name], folder)
    assert says in caught.value.message
    assert name in caught.value.message


def test_what_a_module_raises_is_logged_whole(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "multiagent.app.extensions")
    with pytest.raises(ConfigInvalid):
        load_extensions(["user_broken:x"], folder)
    assert "user_broken cannot be imported" in caplog.text
    assert "RuntimeError: no licence" in caplog.text


def test_two_agents_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigInvalid, match="already"):
        load_extensions(["user_parts:Auditor", "user_parts:many"], folder)


def test_installed_packages_offer_theirs_by_entry_point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("stock", "user_parts:Stock", "multiagent.tools"),
        EntryPoint("auditor", "user_parts:Auditor", "multiagent.agents"),
    ]
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(
        extensions, "entry_points", lambda group: EntryPoints(one for one in points if one.group == group)
    )
    found = load_extensions([])
    assert ([tool.spec.name for tool in found.tools], list(found.agents)) == (["stock"], ["auditor"])
    points.append(EntryPoint("bad", "user_broken:x", "multiagent.tools"))
    with pytest.raises(ConfigInvalid, match=r"entry point multiagent.tools:bad \(user_broken:x\) cannot be loaded"):
        load_extensions([])


def test_names_are_separated_by_commas_and_counted_once() -> None:
    assert asked_for(" a:b, c:d ,a:b,, ") == ("a:b", "c:d")


async def test_what_agents_can_do_is_asked_once_when_they_are_loaded(folder: Path) -> None:
    found = await capabilities(load_extensions(["user_parts:Auditor"], folder).agents)
    assert [(one.name, one.capabilities) for one in found] == [("auditor", ("audits",))]


async def test_an_agent_that_cannot_say_what_it_can_do_is_refused() -> None:
    class Dumb:
        name = "dumb"

        async def get_capabilities(self) -> list[str]:
            raise KeyError("capabilities")

    with pytest.raises(ConfigInvalid, match="the agent dumb cannot say what it can do: KeyError"):
        await capabilities({"dumb": cast("CustomAgent", Dumb())})
