"""How users write tools: a typed function, or a class of the seed's form."""

from typing import Annotated, Literal

import msgspec
import pytest

from multiagent.core.errors import ConfigInvalid, ToolArguments
from multiagent.core.principal import Principal
from multiagent.testing.suites.tool import Cases, ToolSuite
from multiagent.tools.base import Tool, ToolContext, ToolOutput
from multiagent.tools.function import FunctionTool
from multiagent.tools.registry import Registry
from multiagent.tools.seed_form import ClassTool

CONTEXT = ToolContext(Principal("acme", "ada"), "t1", "s1", (), 1 << 60)


class Point(msgspec.Struct):
    x: int
    y: int = 0


async def shift(
    point: Point,
    by: Annotated[int, msgspec.Meta(ge=0, description="how far")],
    context: ToolContext,
    where: Literal["left", "right"] = "right",
) -> str:
    """Shift a point.

    To one side.
    """
    return f"{context.task}: {point.x + (by if where == 'right' else -by)}"


class Analytics:
    """The seed's custom tool, as the seed writes it."""

    name = "custom_analytics"
    description = "Perform custom data analytics operations"

    def __init__(self) -> None:
        self.schema: dict[str, object] = {
            "type": "object",
            "properties": {
                "data_source": {"type": "string", "description": "Data source URL or identifier"},
                "analysis_type": {"type": "string", "enum": ["descriptive", "predictive", "prescriptive"]},
                "parameters": {"type": "object", "description": "Analysis-specific parameters"},
            },
            "required": ["data_source", "analysis_type"],
        }

    async def execute(self, parameters: dict[str, object]) -> dict[str, object]:
        if parameters["data_source"] == "gone":
            return {"success": False, "error": "no such source"}
        return {"success": True, "result": parameters["analysis_type"], "metadata": {"data_points": 3}}


class TestFunctionTool(ToolSuite):
    @pytest.fixture
    def context(self) -> ToolContext:
        return CONTEXT

    @pytest.fixture
    def tool(self) -> Tool:
        return FunctionTool(shift)

    @pytest.fixture
    def cases(self) -> Cases:
        good = {
            '{"point": {"x": 1}, "by": 2}': "t1: 3",
            '{"point": {"x": 1, "y": 5}, "by": 2, "where": "left"}': "t1: -1",
        }
        bad = (
            "{}",
            '{"point": {"x": 1}, "by": -1}',
            '{"point": {"x": "1"}, "by": 1}',
            '{"point": {"x": 1}, "by": 1, "where": "up"}',
            '{"point": {"x": 1}, "by": 1, "context": {}}',
        )
        return Cases(good, bad)

    def test_the_schema_is_the_signature_and_the_description_the_docstring(self, tool: Tool) -> None:
        assert tool.spec.description == "Shift a point.\n\nTo one side."
        schema = msgspec.json.decode(tool.spec.parameters)
        assert schema["required"] == ["point", "by"]
        assert schema["properties"]["by"] == {"type": "integer", "minimum": 0, "description": "how far"}
        assert schema["properties"]["where"]["enum"] == ["left", "right"]
        assert "context" not in schema["properties"]
        assert schema["additionalProperties"] is False


class TestClassTool(ToolSuite):
    @pytest.fixture
    def context(self) -> ToolContext:
        return CONTEXT

    @pytest.fixture
    def tool(self) -> Tool:
        return ClassTool(Analytics())

    @pytest.fixture
    def cases(self) -> Cases:
        good = {
            '{"data_source": "x", "analysis_type": "predictive"}': '"result":"predictive"',
            '{"data_source": "gone", "analysis_type": "predictive", "parameters": {}}': "no such source",
        }
        return Cases(good, ())

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("{}", "data_source"),
            ('{"data_source": 1, "analysis_type": "predictive"}', "at `data_source`"),
            ('{"data_source": "x", "analysis_type": "y"}', "predictive"),
            ('{"data_source": "x", "analysis_type": "predictive", "parameters": []}', "object"),
            ("{", "not JSON"),
        ],
    )
    def test_its_schema_is_checked(self, tool: Tool, arguments: str, words: str) -> None:
        with pytest.raises(ToolArguments, match=words):
            Registry([tool]).inspect("custom_analytics", arguments.encode(), CONTEXT)

    async def test_a_failure_it_tells_of_is_one(self, tool: Tool) -> None:
        output = await tool.execute(b'{"data_source": "gone", "analysis_type": "predictive"}', CONTEXT)
        assert output == ToolOutput("no such source", is_error=True)


@pytest.mark.parametrize(
    "schema", [{"type": "thing"}, {"$ref": "http://127.0.0.1:9/schema.json"}, {"properties": 1}, {"x": object()}]
)
def test_a_schema_that_is_none_or_reaches_outside_is_refused(schema: dict[str, object]) -> None:
    tool = Analytics()
    tool.schema = schema
    with pytest.raises(ConfigInvalid, match="custom_analytics"):
        Registry([ClassTool(tool)])


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="two tools"):
        Registry([ClassTool(Analytics()), ClassTool(Analytics())])


@pytest.mark.parametrize(("name", "description"), [("", "d"), ("1x", "d"), ("a b", "d"), ("x" * 65, "d"), ("x", " ")])
def test_a_name_that_vendors_refuse_and_a_missing_description_are_refused(name: str, description: str) -> None:
    tool = Analytics()
    tool.name, tool.description = name, description
    with pytest.raises(ConfigInvalid):
        Registry([ClassTool(tool)])


async def no_type(text) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return str(text)


async def odd_type(text: complex) -> str:
    return str(text)


async def many(*texts: str) -> str:
    return str(texts)


def plain(text: str) -> str:
    return text


@pytest.mark.parametrize("function", [no_type, odd_type, many, plain])
def test_a_function_that_cannot_be_a_tool_is_refused(function: object) -> None:
    with pytest.raises(ConfigInvalid):
        FunctionTool(function)  # type: ignore[arg-type]
