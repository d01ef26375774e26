"""Plans: agent tasks from a query's clauses and attachments, with the edges that their results really need."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from multiagent.llm.offline.arithmetic import expressions, other
from multiagent.llm.offline.intents import Op, general, wants
from multiagent.llm.offline.request import Asked, File
from multiagent.llm.offline.wording import Words

THEMES: Final[tuple[tuple[str, tuple[Op, ...]], ...]] = (
    ("profile", ("profile", "missing", "duplicates", "distinct")),
    ("groups", ("groups", "sums", "top", "share", "several")),
    ("relations", ("correlate", "outliers", "trend")),
)
"""What one agent does together, because it is about the same side of a table."""


class PlannedTask(msgspec.Struct, frozen=True):
    """One agent task of a plan."""

    id: str
    title: str
    instruction: str
    depends_on: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """A plan, as the platform asks for it."""

    reason: str
    tasks: tuple[PlannedTask, ...]


class Draft(msgspec.Struct, frozen=True):
    """A task before it has its id: its theme, files, and whether it needs all the others."""

    theme: str
    files: tuple[File, ...] = ()
    last: bool = False
    topic: str = ""


def plan(asked: Asked) -> Plan:
    """Return a plan of at most ``max_tasks`` tasks with the tools that are there, acyclic by construction."""
    words = Words(chinese=asked.chinese)
    drafts = _fewer(_drafts(asked), max(1, asked.limits.max_tasks))
    tools = {one.name for one in asked.tools}
    tasks: list[PlannedTask] = []
    for at, draft in enumerate(drafts, 1):
        files = tuple(one.name for one in draft.files)
        title = words.say(f"{draft.theme} task", names=words.names(files) or draft.topic)[:120]
        query = draft.topic or asked.query
        instruction = words.say("instruction", theme=draft.theme, title=title, query=query[:1500])
        before = tuple(task.id for task in tasks) if draft.last else ()
        wanted = tuple(name for name in _tools(draft) if name in tools)
        tasks.append(PlannedTask(f"t{at}", title, instruction, before, wanted, files))
    return Plan(words.say("together" if drafts[-1].last else "apart"), tuple(tasks))


def _drafts(asked: Asked) -> list[Draft]:
    files = [one for one in asked.attachments if one.form != "binary"]
    named = [one for one in files if one.name.lower() in asked.query.lower()]
    if named and not re.search(r"\b(?:all|others?|every|rest)\b|其他|所有|全部", asked.query, re.IGNORECASE):
        files = named
    sums = [Draft("sum", topic=one) for one in dict.fromkeys(expressions(asked.query))]
    if not files:
        return sums or [Draft("answer", tuple(asked.attachments))]
    return sorted([*_read(asked.query, files), *sums], key=lambda one: one.last)


def _read(query: str, files: list[File]) -> list[Draft]:
    tables = [one for one in files if one.form in {"table", "json"}]
    if len(files) == 1 and tables:
        return [Draft(theme, tuple(files)) for theme in themes(query, files[0])]
    drafts = [Draft("table" if one in tables else "text", (one,)) for one in files]
    if len(tables) > 1:
        drafts.append(Draft("join", tuple(tables), last=True))
    return drafts


def without(query: str, files: Iterable[File]) -> str:
    """Return a query without the names of files and without arithmetic."""
    for name in sorted((one.name for one in files), key=len, reverse=True):
        query = re.sub(r"(?<!\w)" + re.escape(name) + r"(?!\w)", " ", query, flags=re.IGNORECASE)
    return other(query)


def themes(query: str, file: File) -> list[str]:
    """Return the themes of a table that a query asks for; all of them where it asks for a report, or nothing known."""
    told = wants(without(query, [file]), file.fields)
    if file.form == "json" or (not file.fields and not general(query)):
        return ["table"]
    if general(query) or not told:
        return [name for name, _ in THEMES]
    return [name for name, ops in THEMES if any(want.op in ops for want in told)] or ["table"]


def theme_of(instruction: str) -> str:
    """Return the theme that an instruction of ours begins with; empty where it is of another planner."""
    hit = re.match(r"\[(\w+)\]", instruction)
    return hit[1] if hit else ""


def _fewer(drafts: list[Draft], most: int) -> list[Draft]:
    """Merge the last independent drafts into one; a draft that needs all stays last while there is room."""
    if len(drafts) <= most:
        return drafts
    last = [one for one in drafts if one.last][: max(0, most - 1)]
    single = [one for one in drafts if not one.last]
    room = most - len(last)
    kept, rest = single[: room - 1], single[room - 1 :]
    files = dict.fromkeys(file for one in rest for file in one.files)
    every = {one.theme for one in rest}
    theme = rest[0].theme if len(every) == 1 else "all" if "sum" in every else "table"
    merged = Draft(theme, tuple(files), topic="; ".join(one.topic for one in rest if one.topic))
    return [*kept, merged, *last]


def _tools(draft: Draft) -> tuple[str, ...]:
    if draft.theme == "answer":
        return ()
    if draft.theme == "sum":
        return ("calculator",)
    more = ("calculator",) if draft.theme == "all" else ()
    if any(one.form == "pdf" for one in draft.files):
        return ("attachments", "text_processor", *more)
    return ("python", "attachments", *more)
