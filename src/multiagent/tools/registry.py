"""The tools there are, by name, each with the check of its arguments. Fixed once made."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from multiagent.core.errors import ConfigInvalid, ToolArguments, ToolUnknown
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import Inspected, Inspecting, Tool, ToolContext
from multiagent.tools.schema import compile_check

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What every vendor of models accepts."""


class Registry:
    """Tools in the order they were given."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        """ConfigInvalid where two have one name, or a schema is not one."""
        self._tools: dict[str, Tool] = {}
        self._checks: dict[str, Inspecting] = {}
        for tool in tools:
            name = tool.spec.name
            if not _NAME.fullmatch(name) or not tool.spec.description.strip():
                raise ConfigInvalid(
                    f"tool {name!r} needs a name of 1 to 64 letters, digits, _ and -, and a description"
                )
            if name in self._tools:
                raise ConfigInvalid(f"there are two tools named {name}; rename one")
            self._tools[name] = tool
            self._checks[name] = tool if isinstance(tool, Inspecting) else _BySchema(tool.spec)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def get(self, name: str) -> Tool:
        """Return the tool of that name; ToolUnknown lists those there are."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolUnknown(f"there is no tool {name[:64]!r}; there are {', '.join(self._tools)}")
        return tool

    def inspect(self, name: str, arguments: bytes, context: ToolContext) -> Inspected:
        """Check arguments for a tool; ToolArguments says what does not fit."""
        return self._checks[name].inspect(arguments, context)


class _BySchema:
    """Checks the arguments of a tool that only brings a JSON Schema."""

    def __init__(self, spec: ToolSpec) -> None:
        try:
            self._check = compile_check(spec.parameters)
        except ConfigInvalid as error:
            raise ConfigInvalid(f"tool {spec.name}: {error.message}") from error

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check; there is nothing more to know."""
        try:
            value = msgspec.json.decode(arguments)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ToolArguments(f"the arguments are not JSON: {error}") from error
        self._check(value)
        return Inspected()
