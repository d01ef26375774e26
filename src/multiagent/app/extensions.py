"""Tools and agents of users' own: found by entry point or ``module:name``, taken over, or refused with the reason."""

import asyncio
import importlib
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, cast

from multiagent.agents.custom import CustomAgent
from multiagent.agents.render import ShownAgent
from multiagent.core.errors import ConfigInvalid
from multiagent.tools.base import Tool
from multiagent.tools.function import Function, FunctionTool
from multiagent.tools.seed_form import ClassTool, SeedTool

_log: Final = logging.getLogger(__name__)

GROUPS: Final = ("multiagent.tools", "multiagent.agents")
"""The entry points that are looked for in installed packages."""

PATIENCE_S: Final = 5.0
"""So long an agent may take to say what it can do, and how it is."""

_AGENT: Final = ("execute_task", "get_capabilities", "health_check")
_HOOKS: Final = ("preprocess_task", "postprocess_result")


@dataclass(frozen=True, slots=True)
class Extensions:
    """What was found, in the order in which it was found; ``loads`` are the names that were asked for."""

    tools: tuple[Tool, ...] = ()
    agents: Mapping[str, CustomAgent] = field(default_factory=dict)
    loads: frozenset[str] = frozenset()


def load_extensions(names: Sequence[str], folder: Path | None = None) -> Extensions:
    """Return what installed packages offer, and what these names (``module:name``) stand for.

    Modules are looked for in ``folder``, too. Raises ConfigInvalid naming what cannot be loaded, and why.
    """
    tools: list[Tool] = []
    agents: dict[str, CustomAgent] = {}
    for source, found in (*_installed(), *_named(names, folder)):
        for one in _each(found, source):
            if isinstance(one, _Agent):
                if one.agent.name in agents:
                    raise ConfigInvalid(f"{source}: there is an agent {one.agent.name!r} already; rename one")
                agents[one.agent.name] = one.agent
            else:
                tools.append(one)
    return Extensions(tuple(tools), agents, frozenset(names))


def asked_for(text: str) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas, each once."""
    return tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


async def capabilities(agents: Mapping[str, CustomAgent]) -> tuple[ShownAgent, ...]:
    """Return what agents say they can do, for plans. ConfigInvalid where one cannot tell in time."""
    found: list[ShownAgent] = []
    for name, agent in agents.items():
        try:
            async with asyncio.timeout(PATIENCE_S):
                told = await agent.get_capabilities()
        except Exception as error:
            _log.info("the agent %s cannot say what it can do", name, exc_info=True)
            raise ConfigInvalid(f"the agent {name} cannot say what it can do: {_told(error)}") from error
        found.append(ShownAgent(name, tuple(str(one) for one in told)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Agent:
    agent: CustomAgent


def _installed() -> Iterator[tuple[str, object]]:
    for group in GROUPS:
        for point in sorted(entry_points(group=group), key=lambda one: one.name):
            source = f"entry point {group}:{point.name} ({point.value})"
            try:
                found: object = point.load()
            except Exception as error:
                _log.info("%s cannot be loaded", source, exc_info=True)
                raise ConfigInvalid(f"{source} cannot be loaded: {_told(error)}") from error
            yield source, found


def _named(names: Sequence[str], folder: Path | None) -> Iterator[tuple[str, object]]:
    for name in names:
        module, _, attribute = name.partition(":")
        if not module or not attribute:
            raise ConfigInvalid(f"--load {name}: write module:name, such as my_tools:convert")
        yield f"--load {name}", _imported(name, module, attribute, folder)


def _imported(name: str, module: str, attribute: str, folder: Path | None) -> object:
    place = str(folder) if folder is not None else ""
    if place and place not in sys.path:
        sys.path.insert(0, place)
    try:
        found: object = importlib.import_module(module)
    except Exception as error:
        _log.info("the module %s cannot be imported", module, exc_info=True)
        raise ConfigInvalid(f"--load {name}: the module {module} cannot be imported: {_told(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigInvalid(f"--load {name}: {module} has no {attribute!r}")
        found = getattr(found, part)
    return found


def _each(found: object, source: str) -> Iterator["Tool | _Agent"]:
    if isinstance(found, list | tuple):
        for one in found:
            yield from _each(one, source)
    else:
        yield _adopted(found, source)


def _adopted(found: object, source: str) -> "Tool | _Agent":
    """Return what an object is: an agent, a tool of ours, a tool of the seed's form, or a function to make one of."""
    if isinstance(found, type):
        try:
            found = found()
        except TypeError as error:
            raise ConfigInvalid(f"{source}: its class must be made without arguments: {error}") from error
    if hasattr(found, "execute_task"):
        return _Agent(_agent(found, source))
    if hasattr(found, "spec") and hasattr(found, "execute"):
        return cast("Tool", found)
    if all(hasattr(found, one) for one in ("name", "description", "schema", "execute")):
        return ClassTool(cast("SeedTool", found))
    if inspect.iscoroutinefunction(found):
        return FunctionTool(cast("Function", found))
    raise ConfigInvalid(
        f"{source}: {type(found).__name__} is no tool and no agent; give an async function, a tool with name, "
        "description, schema and execute, or an agent with execute_task, get_capabilities and health_check"
    )


def _agent(found: object, source: str) -> CustomAgent:
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not name.strip() or len(name) > 64:
        raise ConfigInvalid(f"{source}: an agent needs a `name`: text of 1 to 64 characters")
    for method in (*_AGENT, *(one for one in _HOOKS if hasattr(found, one))):
        if not inspect.iscoroutinefunction(getattr(found, method, None)):
            raise ConfigInvalid(f"{source}: the agent {name} needs `async def {method}`")
    return cast("CustomAgent", found)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
