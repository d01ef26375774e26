"""Python as a tool: a program of the model's, in the sandbox, with the files it asks for."""

from typing import Annotated

import msgspec

from multiagent.core.label import join
from multiagent.core.tool import ToolSpec
from multiagent.sandbox.base import MIB, Grant, Limits, RunRequest, RunResult, Sandbox
from multiagent.storage.objects.base import Objects
from multiagent.tools.base import Inspected, ToolContext, ToolOutput
from multiagent.tools.builtin.code_scan import facts_of
from multiagent.tools.builtin.given import attachments, laid_out
from multiagent.tools.schema import decode_arguments, schema_of

FOLDER = "/data"
PYTHON_LIMITS = Limits(timeout_s=30.0, memory_bytes=512 * MIB)
_TRACE_LINES = 6
_MOST_STDERR = 4_000
_DESCRIPTION = """Run a Python program in a sandbox and return what it prints.

Each file named in `files` is readable at /data/<name>. Only the standard library is there; no network, no processes.
Print what you want to see: nothing else comes back."""


class PythonArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model gives."""

    code: Annotated[str, msgspec.Meta(min_length=1, description="a whole program; print the results")]
    files: Annotated[list[str], msgspec.Meta(description="names of attachments the program reads at /data/<name>")] = []


class PythonTool:
    """Runs programs; what they print is the answer, then what they failed with."""

    def __init__(self, objects: Objects, sandbox: Sandbox, limits: Limits = PYTHON_LIMITS, scratch: str = "") -> None:
        self._objects = objects
        self._sandbox = sandbox
        self._limits = limits
        self._scratch = scratch
        # The sandbox enforces its own limit; beyond it there is the wait for a worker and the laying out of files.
        self._spec = ToolSpec(
            "python", _DESCRIPTION, schema_of(PythonArguments), "code", timeout_s=limits.timeout_s + 60.0
        )

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        return self._spec

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check the arguments and the names of files; policy learns of the code and of the files' labels."""
        given = decode_arguments(arguments, PythonArguments)
        files = attachments(context, given.files)
        return Inspected(facts_of(given.code), join(*(one.labels for one in files)))

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Run the program. Raises SandboxError's children, StorageError's, ToolArguments."""
        given = decode_arguments(arguments, PythonArguments)
        files = attachments(context, given.files)
        if not files:
            result = await self._sandbox.run(RunRequest(given.code, limits=self._limits))
        else:
            async with laid_out(self._objects, context.principal.tenant, files, self._scratch) as folder:
                grants = (Grant(folder, FOLDER),)
                result = await self._sandbox.run(RunRequest(given.code, grants=grants, limits=self._limits))
        return ToolOutput(
            _content(result, context),
            result.error is not None,
            join(*(one.labels for one in files)),
            tuple(one.name for one in files),
            _metrics(result),
        )


def _content(result: RunResult, context: ToolContext) -> str:
    parts = [result.stdout.rstrip("\n")]
    if not result.stdout.strip() and result.value != "null" and result.error is None:
        value = msgspec.json.decode(result.value)
        parts = [value if isinstance(value, str) else result.value]
    if result.stderr.strip():
        parts.append("[stderr]\n" + result.stderr.strip()[-_MOST_STDERR:])
    if result.error is not None:
        error = result.error
        lines = error.traceback.rstrip().splitlines()[-_TRACE_LINES:]
        parts.append("\n".join([f"Error: {error.type}: {error.message}", *lines]))
        if error.type == "FileNotFoundError" and context.attachments:
            names = ", ".join(one.name for one in context.attachments)
            parts.append(f"Files are at {FOLDER}/<name> once named in `files`; there are: {names}")
    return "\n".join(part for part in parts if part) or "(the program printed nothing; print what you want to see)"


def _metrics(result: RunResult) -> dict[str, float]:
    used = result.metrics
    found = {"fuel_used": float(used.fuel_used), "cpu_ms": used.cpu_ms, "wall_ms": used.wall_ms}
    if used.peak_memory_bytes is not None:
        found["peak_memory_bytes"] = float(used.peak_memory_bytes)
    return found
