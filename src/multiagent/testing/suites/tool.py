"""What every tool must do.

A test class of a tool inherits from ``ToolSuite`` and provides the fixtures ``tool``, ``context`` and ``cases``: at
least one good call with a part of its answer, and some that do not fit.
"""

import re
from dataclasses import dataclass, field

import msgspec
import pytest

from multiagent.core.errors import PlatformError, ToolArguments
from multiagent.tools.base import Tool, ToolContext
from multiagent.tools.registry import Registry

GROUPS = {"basic", "code", "data", "network", "admin"}


@dataclass(frozen=True, slots=True)
class Cases:
    """Arguments (JSON) with a part of what they must answer, and arguments that must be refused."""

    good: dict[str, str]
    bad: tuple[str, ...] = field(default=("[]", '"text"', "1", '{"no_such_parameter": 1}', "{"))


class ToolSuite:
    """Its face, its checks, its answers."""

    def test_a_model_is_told_what_it_needs(self, tool: Tool) -> None:
        """A name that vendors accept, a description, and a schema whose top is an object of described parameters."""
        spec = tool.spec
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", spec.name)
        assert spec.description.strip()
        assert spec.group in GROUPS
        assert spec.timeout_s > 0
        schema = msgspec.json.decode(spec.parameters, type=dict[str, object])
        assert schema["type"] == "object"
        assert "$ref" not in schema
        assert isinstance(schema["properties"], dict)

    @pytest.mark.requirement("S.tools.schema")
    def test_arguments_that_do_not_fit_are_refused_with_what_is_wrong(
        self, tool: Tool, context: ToolContext, cases: Cases
    ) -> None:
        registry = Registry([tool])
        for arguments in cases.bad:
            with pytest.raises(ToolArguments) as refused:
                registry.inspect(tool.spec.name, arguments.encode(), context)
            assert refused.value.message

    @pytest.mark.requirement("S.tools.schema")
    async def test_arguments_that_fit_are_answered(self, tool: Tool, context: ToolContext, cases: Cases) -> None:
        registry = Registry([tool])
        for arguments, part in cases.good.items():
            inspected = registry.inspect(tool.spec.name, arguments.encode(), context)
            output = await tool.execute(arguments.encode(), context)
            assert part in output.content, output.content
            assert set(output.labels) <= {*inspected.labels, *context.labels}
            assert set(output.sources) <= {one.name for one in context.attachments}

    async def test_the_same_call_is_answered_alike(self, tool: Tool, context: ToolContext, cases: Cases) -> None:
        if not tool.spec.idempotent:
            pytest.skip("it has an effect")
        for arguments in cases.good:
            first = await tool.execute(arguments.encode(), context)
            assert (await tool.execute(arguments.encode(), context)).content == first.content

    async def test_any_json_is_answered_or_refused_with_an_error_of_the_platform(
        self, tool: Tool, context: ToolContext, cases: Cases
    ) -> None:
        for arguments in cases.bad:
            with pytest.raises(PlatformError):
                await tool.execute(arguments.encode(), context)
