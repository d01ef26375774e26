"""The seed's form of a tool: a class with a name, a description, a schema and ``async execute(parameters)``."""

from typing import Protocol

import msgspec

from multiagent.core.errors import ConfigInvalid
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import ToolContext, ToolOutput

Parameters = dict[str, object]


class SeedTool(Protocol):
    """What the seed calls a tool: decoded JSON in and out; ``{"success": false, "error": …}`` is a failure."""

    name: str
    description: str
    schema: Parameters

    async def execute(self, parameters: Parameters) -> Parameters:
        """Run with parameters that fit the schema."""
        ...


class ClassTool:
    """A tool of the seed's form as one of ours. Its schema is checked before it runs."""

    def __init__(
        self, tool: SeedTool, *, group: str = "basic", idempotent: bool = True, timeout_s: float = 30.0
    ) -> None:
        """ConfigInvalid where the schema is not JSON."""
        self._tool = tool
        try:
            schema = msgspec.json.encode(tool.schema).decode()
        except (TypeError, ValueError) as error:
            raise ConfigInvalid(f"tool {tool.name}: its schema is not JSON: {error}") from error
        self._spec = ToolSpec(tool.name, tool.description, schema, group, idempotent, timeout_s)

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._spec

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Call the tool; its whole answer, as JSON, is what the model reads."""
        answer = await self._tool.execute(msgspec.json.decode(arguments, type=Parameters))
        failed = answer.get("success") is False
        content = str(answer.get("error", "")) if failed else ""
        return ToolOutput(content or msgspec.json.encode(answer).decode(), is_error=failed)
