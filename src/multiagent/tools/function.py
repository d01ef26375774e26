"""A tool from a typed async function: its signature is the schema, its docstring the description."""

import inspect
from collections.abc import Awaitable, Callable
from typing import get_type_hints

import msgspec

from multiagent.core.errors import ConfigInvalid
from multiagent.core.tool import ToolSpec
from multiagent.tools.base import Inspected, ToolContext, ToolOutput
from multiagent.tools.schema import decode_arguments, schema_of

Function = Callable[..., Awaitable[str | ToolOutput]]


class FunctionTool:
    """Runs an async function with the arguments a model wrote; a parameter of type ToolContext gets the context."""

    def __init__(
        self,
        function: Function,
        *,
        name: str = "",
        group: str = "basic",
        idempotent: bool = True,
        timeout_s: float = 30.0,
    ) -> None:
        """ConfigInvalid where the function is not async, or a parameter has no type that JSON can carry."""
        if not inspect.iscoroutinefunction(function):
            raise ConfigInvalid(f"{function!r} is not an async function; write `async def`")
        label = name or function.__name__
        try:
            self._record, self._context = _record_of(function, label)
            schema = schema_of(self._record)
        except (TypeError, NameError) as error:
            raise ConfigInvalid(f"tool {label}: {error}") from error
        self._function = function
        description = inspect.cleandoc(function.__doc__ or label)
        self._spec = ToolSpec(label, description, schema, group, idempotent, timeout_s)

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._spec

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check the arguments against the signature."""
        decode_arguments(arguments, self._record)
        return Inspected()

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Call the function."""
        given = msgspec.structs.asdict(decode_arguments(arguments, self._record))
        if self._context:
            given[self._context] = context
        answer = await self._function(**given)
        return answer if isinstance(answer, ToolOutput) else ToolOutput(answer)


def _record_of(function: Function, name: str) -> tuple[type[msgspec.Struct], str]:
    """Return the record of a function's parameters, and the name of the one that takes the context."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    context = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise TypeError(f"parameter {parameter.name} cannot be given by name")
        if parameter.name not in hints:
            raise TypeError(f"parameter {parameter.name} has no type")
        if hints[parameter.name] is ToolContext:
            context = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, hints[parameter.name]))
        else:
            fields.append((parameter.name, hints[parameter.name], parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, frozen=True, forbid_unknown_fields=True), context
