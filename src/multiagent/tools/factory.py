"""Assembly: the built-in tools over their ports, and the runner over the tools."""

from collections.abc import Callable

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.decision import Decide
from multiagent.sandbox.base import Limits, Sandbox
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Writer
from multiagent.tools.base import Runner, Tool
from multiagent.tools.builtin.ask_user import AskUser
from multiagent.tools.builtin.attachments import AttachmentsTool
from multiagent.tools.builtin.calculator import calculator_tool
from multiagent.tools.builtin.given import clear_scratch
from multiagent.tools.builtin.python import PYTHON_LIMITS, PythonTool
from multiagent.tools.builtin.reading import AttachmentReader
from multiagent.tools.builtin.text_processor import TextProcessor
from multiagent.tools.registry import Registry
from multiagent.tools.runner import RunnerOptions, ToolRunner


class ToolOptions(msgspec.Struct, frozen=True):
    """``tools`` come after the built-in ones; ``chance`` gives numbers in [0, 1).

    ``scratch`` is a folder of this process's alone for the files that sandboxed programs are given, best on the file
    system of the objects, so that they are linked and not copied (empty: the system's). It is cleared when opened.
    """

    tools: tuple[Tool, ...] = ()
    scratch: str = ""
    python_limits: Limits = PYTHON_LIMITS
    chance: Callable[[], float] = lambda: 0.5


def open_tools(
    objects: Objects,
    sandbox: Sandbox,
    writer: Writer,
    decide: Decide,
    clock: Clock,
    options: ToolOptions | None = None,
) -> Runner:
    """Return the runner of all tools. ConfigInvalid where a given tool does not fit."""
    options = options or ToolOptions()
    if options.scratch:
        clear_scratch(options.scratch)
    reader = AttachmentReader(objects)
    registry = Registry(
        [
            calculator_tool(),
            AttachmentsTool(reader),
            PythonTool(objects, sandbox, options.python_limits, options.scratch),
            TextProcessor(reader),
            AskUser(),
            *options.tools,
        ]
    )
    return ToolRunner(registry, decide, writer, clock, RunnerOptions(chance=options.chance))
