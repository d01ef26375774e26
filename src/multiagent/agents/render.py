"""Prompts: a fixed system text from ``prompts/<name>.<version>.md``, and sections of JSON that content cannot forge."""

from importlib import resources

import msgspec

from multiagent.agents.described import Described
from multiagent.core.errors import ConfigInvalid
from multiagent.core.tool import ToolSpec


class Prompts:
    """The system texts, each read once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def system(self, name: str, version: str) -> str:
        """Return the text of a prompt; ConfigInvalid where there is none of that version."""
        file = f"{name}.{version}.md"
        if file not in self._texts:
            try:
                text = resources.files("multiagent.agents").joinpath("prompts", file).read_text("utf-8")
            except OSError:
                raise ConfigInvalid(f"there is no prompt {file}; set prompt_version to one that is shipped") from None
            self._texts[file] = text.strip()
        return self._texts[file]


class Section(msgspec.Struct, frozen=True):
    """One ``<name>JSON</name>`` of a prompt."""

    name: str
    value: object


class ShownTask(msgspec.Struct, frozen=True):
    """``<task>`` of a turn."""

    id: str
    title: str
    instruction: str


class ShownInput(msgspec.Struct, frozen=True):
    """An item of a turn's ``<inputs>``."""

    task: str
    title: str
    result: str


class ShownTool(msgspec.Struct, frozen=True):
    """An item of ``<tools>`` of decompose."""

    name: str
    description: str


class ShownAgent(msgspec.Struct, frozen=True):
    """An item of ``<agents>`` of decompose: an agent of the user's own, and what it can do."""

    name: str
    capabilities: tuple[str, ...]


class ShownPart(msgspec.Struct, frozen=True):
    """An item of ``<results>`` of synthesize."""

    task: str
    title: str
    status: str
    result: str
    sources: tuple[str, ...]


class TurnLimits(msgspec.Struct, frozen=True):
    """``<limits>`` of a turn."""

    turns_left: int


class PlanLimits(msgspec.Struct, frozen=True):
    """``<limits>`` of decompose."""

    max_tasks: int


def sections(*parts: Section) -> str:
    """Return the sections, a line group each. Every ``<`` of the JSON is escaped, so that content forges no tag."""
    return "\n".join(f"<{part.name}>{_json(part.value)}</{part.name}>" for part in parts)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def clip(text: str, most: int) -> str:
    """Return text of at most about ``most`` characters: its beginning and end, and how much was left out."""
    if len(text) <= most:
        return text
    head, tail = most * 2 // 3, most // 3
    return f"{text[:head]}\n… {len(text) - head - tail} characters left out …\n{text[-tail:]}"


def shown_tools(specs: tuple[ToolSpec, ...]) -> tuple[ShownTool, ...]:
    """Return what a planner is told of tools."""
    return tuple(ShownTool(spec.name, spec.description) for spec in specs)


def shown_attachments(described: tuple[Described, ...]) -> Section:
    """Return the ``<attachments>`` section."""
    return Section("attachments", described)
