"""The port of tools: what a tool is given, what it answers."""

from typing import Literal, Protocol, runtime_checkable

import msgspec

from multiagent.core.decision import CodeFacts
from multiagent.core.label import Labels
from multiagent.core.principal import Principal
from multiagent.core.task import Attachment
from multiagent.core.tool import ToolSpec


class ToolContext(msgspec.Struct, frozen=True):
    """For whom a tool runs, in which step, with which files at hand, until when (ms UTC); ``forked_from`` is the task
    that this one is a fork of, which may have done already what is asked for now.
    """

    principal: Principal
    task: str
    step: str
    attachments: tuple[Attachment, ...]
    deadline: int
    labels: Labels = ()
    forked_from: str = ""


class ToolOutput(msgspec.Struct, frozen=True):
    """What a tool answered: ``content`` is what the model reads. ``sources`` are the attachments it opened."""

    content: str
    is_error: bool = False
    labels: Labels = ()
    sources: tuple[str, ...] = ()
    metrics: dict[str, float] = {}


class Tool(Protocol):
    """One tool."""

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        ...

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Run with arguments (JSON that fits the schema). Raises ToolError's and SandboxError's children."""
        ...


class ToolRequest(msgspec.Struct, frozen=True):
    """One call of a tool by an agent; ``arguments`` is the model's JSON text, unchecked."""

    name: str
    arguments: str


class Checked(msgspec.Struct, frozen=True):
    """What ``Runner.check`` decided. ``arguments_hash`` binds an approval to these very arguments."""

    verdict: Literal["allow", "deny", "approve", "invalid"]
    arguments_hash: str
    reasons: tuple[str, ...] = ()


class Runner(Protocol):
    """The only way to run a tool."""

    def specs(self, principal: Principal, names: tuple[str, ...] = ()) -> tuple[ToolSpec, ...]:
        """Return the tools of those names (all where empty), in a stable order; ToolUnknown names a missing one."""
        ...

    async def check(self, request: ToolRequest, context: ToolContext) -> Checked:
        """Schema, then policy. Never raises for what the model wrote: bad arguments are ``invalid``."""
        ...

    async def run(self, request: ToolRequest, context: ToolContext, checked: Checked) -> ToolOutput:
        """Check the hash and policy again, consume the approval with the intent, run, scan, label, record.

        Raises PolicyDenied, EffectUnknown and StorageError's children; a tool's own failure is an output with
        ``is_error``.
        """
        ...


class Inspected(msgspec.Struct, frozen=True):
    """What policy may know of arguments beyond their hash: facts of code, and the labels of what they touch."""

    code: CodeFacts | None = None
    labels: Labels = ()


@runtime_checkable
class Inspecting(Protocol):
    """A tool that checks its arguments itself; other tools' arguments are checked against their JSON Schema."""

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Return what policy may know; ToolArguments says what does not fit."""
        ...
