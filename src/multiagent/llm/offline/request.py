"""The platform's own requests, read back from their messages."""

import re
from typing import Final

import msgspec

from multiagent.core.messages import Message, ToolCall, ToolResult
from multiagent.llm.base import ModelRequest
from multiagent.llm.offline.dialect import Dialect
from multiagent.llm.offline.guest_table import kind_of
from multiagent.llm.offline.session import Session

SECTION: Final = re.compile(r"<(\w+)>(.*?)</\1>", re.DOTALL)
TABLE_NAME: Final = re.compile(r"\.(csv|tsv|tab|psv)$", re.IGNORECASE)
READABLE: Final = frozenset(("table", "text", "json"))


class File(msgspec.Struct, frozen=True):
    """An attachment as a model is told of it."""

    name: str
    media_type: str = ""
    size: int = 0
    kind: str = "text"
    lines: int = 0
    head: str = ""
    encoding: str = ""

    @property
    def simpler(self) -> dict[str, str]:
        """The guest's guess of an encoding, where the platform has told which one it is."""
        names = {"UTF-8": "utf-8-sig", "UTF-16": "utf-16", "GB18030": "gb18030", "Windows-1252": "cp1252"}
        codec = names.get(self.encoding.partition(" ")[0])
        return {"encoding": f"lambda _: {codec!r}"} if codec else {}

    @property
    def sample(self) -> list[str]:
        """The whole lines of the head."""
        lines = self.head.split("\n")
        return lines[:-1] if len(lines) > 1 and (self.lines > len(lines) or len(self.head) >= 1400) else lines

    @property
    def form(self) -> str:
        """What it is to us: table, json, text, pdf or binary; a text of even rows is a table."""
        if self.kind not in READABLE:
            return self.kind
        if re.search(r"\.(json|jsonl|ndjson)$", self.name, re.IGNORECASE) or self.kind == "json":
            return "json"
        if TABLE_NAME.search(self.name) or self.kind == "table":
            return "table"
        prose = re.search(r"\.(md|rst|html?|py|toml|ya?ml)$", self.name, re.IGNORECASE)
        return "table" if not prose and len(self.sample) > 3 and Dialect(self.sample).score > 2.9 else "text"

    @property
    def dialect(self) -> Dialect | None:
        """How the table is written, where the head has enough data to tell."""
        found = Dialect(self.sample)
        whole = self.lines <= len(self.head.split("\n"))
        return found if len(found.data) >= 3 or (whole and found.data) else None

    @property
    def fields(self) -> dict[str, str]:
        """The columns of a table, or the keys of a JSON file, as far as the head shows them, each with its kind."""
        if dialect := self.dialect if self.form == "table" else None:
            return dict(zip(dialect.names, dialect.kinds, strict=True))
        found = re.findall(r'"([^"\n]{1,60})"\s*:\s*(?:"([^"]*)"|(-?\d[\d.]*|true|false))', self.head)
        return {key: kind_of({text or plain}) for key, text, plain in reversed(found)} if self.form == "json" else {}


class Finding(msgspec.Struct, frozen=True):
    """What an agent task found, for a dependent task or for the synthesis."""

    task: str
    title: str = ""
    status: str = "completed"
    result: str = ""
    sources: tuple[str, ...] = ()


class AgentTask(msgspec.Struct, frozen=True):
    """The task of the agent whose turn it is."""

    id: str = ""
    instruction: str = ""


class Limits(msgspec.Struct, frozen=True):
    """How many tasks a plan may have."""

    max_tasks: int = 12


class Asked(msgspec.Struct, frozen=True):
    """A request's sections; what it does not have is empty. Of tools only the names matter."""

    query: str = ""
    answer: str = ""
    attachments: tuple[File, ...] = ()
    tools: tuple[File, ...] = ()
    limits: Limits = Limits()
    task: AgentTask = AgentTask()
    inputs: tuple[Finding, ...] = ()
    results: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    session: Session = Session()

    @property
    def chinese(self) -> bool:
        """Whether to answer in Chinese."""
        return bool(re.search(r"[\u4e00-\u9fff]", self.query or self.task.instruction))


class Observation(msgspec.Struct, frozen=True):
    """A tool call with what came back; ``gone``: it can never be made."""

    name: str
    arguments: str
    content: str
    failed: bool
    gone: bool = False


def asked(messages: tuple[Message, ...]) -> Asked:
    """Return the sections of the first user message that has any; all empty where none has."""
    for message in messages:
        found = dict(SECTION.findall(message.text)) if message.role == "user" else {}
        known = [name for name in Asked.__struct_fields__ if name in found]
        if known:
            try:
                return msgspec.json.decode(
                    "{" + ",".join(f'"{name}":{found[name]}' for name in known) + "}", type=Asked
                )
            except msgspec.MsgspecError:
                continue
    return Asked(query=next((one.text for one in reversed(messages) if one.role == "user"), ""))


def observations(request: ModelRequest) -> list[Observation]:
    """Return the transcript's finished tool calls, in order."""
    calls = {one.id: one for message in request.messages for one in message.parts if isinstance(one, ToolCall)}
    found = [one for message in request.messages for one in message.parts if isinstance(one, ToolResult)]
    return [
        Observation(one.name, calls[one.call_id].arguments if one.call_id in calls else "", one.content, one.is_error)
        for one in found
    ]
