"""The calculator as a tool."""

from typing import Annotated

import msgspec

from multiagent.tools.base import Tool
from multiagent.tools.builtin.arithmetic import calculate
from multiagent.tools.builtin.functions import write
from multiagent.tools.function import FunctionTool

Expression = Annotated[str, msgspec.Meta(description="for example (1200 - 950) / 950 * 100 or mean(3, 4, 8)")]


async def calculator(expression: Expression) -> str:
    """Compute an arithmetic expression exactly and return the number.

    Operators + - * / // % ** and parentheses; 15% and 15% of 80; functions sqrt abs round min max sum mean median log
    ln log10 exp floor ceil pow percent(p, x); constants pi and e. round takes halves to the even neighbour.
    """
    return write(calculate(expression))


def calculator_tool() -> Tool:
    """Return the tool."""
    return FunctionTool(calculator, timeout_s=5.0)
