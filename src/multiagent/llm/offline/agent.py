"""An agent's turn: which tool to call next, and at last what was found.

An agent's work is a generator of calls that receives observations; a turn replays the transcript through it. So the same
transcript always gives the same next call, and nothing is remembered between turns.
"""

import json
from collections.abc import Generator
from typing import Final

import msgspec

from multiagent.llm.gate_estimate import estimate_text
from multiagent.llm.offline.arithmetic import expressions
from multiagent.llm.offline.cells import cell
from multiagent.llm.offline.dialect import Dialect
from multiagent.llm.offline.guest_text import survey
from multiagent.llm.offline.intents import Op, Want, general
from multiagent.llm.offline.planner import THEMES, table_wants, theme_of
from multiagent.llm.offline.request import Asked, File, Observation
from multiagent.llm.offline.wording import Words, lists

ROWS: Final = 20_000
"""What the second try reads of a table that the first could not."""


class Call(msgspec.Struct, frozen=True):
    """A tool call to make."""

    name: str
    arguments: str


Work = Generator[Call, Observation, str]
Found = dict[str, object]
GONE: Final = "\x00"
"""Starts the content of an observation that says that a tool cannot be called at all."""


def turn(asked: Asked, seen: list[Observation], tools: frozenset[str], room: int) -> Call | str:
    """Return the next call, of one of these tools and of at most ``room`` tokens, or the agent's final text."""
    work = _work(asked, room)
    rest = iter(seen)
    try:
        call = next(work)
        while True:
            if call.name not in tools:
                given = Observation(call.name, call.arguments, f"{GONE}{call.name}", failed=True)
            else:
                told = next(rest, None)
                if told is None:
                    return call
                given = told
            call = work.send(given)
    except StopIteration as done:
        return str(done.value)


def _work(asked: Asked, room: int) -> Work:
    theme = theme_of(asked.task.instruction)
    words = Words(chinese=asked.chinese)
    files = [one for one in asked.attachments if one.form != "binary"]
    if theme == "join":
        return (yield from _join(asked, files, words, room))
    if not files:
        return (yield from _sums(asked, words))
    parts: list[str] = []
    for file in files:
        if file.form in {"table", "json"}:
            parts.append((yield from _table(asked, file, words, room)))
        else:
            parts.append((yield from _text(asked, file, words)))
    if len([one for one in files if one.form == "table"]) > 1:
        parts.append((yield from _join(asked, files, words, room)))
    return "\n\n".join(one for one in parts if one)


def _sums(asked: Asked, words: Words) -> Work:
    found = expressions(asked.task.instruction.partition("]")[2] or asked.task.instruction) or expressions(asked.query)
    lines: list[str] = []
    for one in dict.fromkeys(found):
        told = yield Call("calculator", json.dumps({"expression": one}))
        lines.append(words.failed(one, told.content) if told.failed else f"{one} = **{told.content.strip()}**")
    if lines:
        return "\n".join(lines)
    told_before = "\n\n".join(one.result for one in asked.inputs)
    return told_before or words.ignorant(asked.attachments)


def _run(code: str, retry: str, files: list[File]) -> Generator[Call, Observation, Found | str]:
    """Run a cell; where it fails run a more careful one; return what it printed, or why there is nothing."""
    names = [one.name for one in files]
    why = ""
    for source in (code, retry):
        told = yield Call("python", json.dumps({"code": source, "files": names}, ensure_ascii=False))
        why = told.content
        if not told.failed:
            try:
                found = json.loads(told.content)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
        elif why.startswith(GONE):
            break
    return why


def _dialect(file: File) -> Generator[Call, Observation, Dialect | str]:
    """Return how a table is written, from its head or, where that has too little data, from a look into the file."""
    if file.dialect:
        return file.dialect
    code = cell(f"show(peek({'/data/' + file.name!r}))")
    found = yield from _run(code, code, [file])
    if isinstance(found, str):
        return found
    lines, before = found.get("lines"), found.get("before")
    return Dialect([str(one) for one in lines], before) if isinstance(lines, list) and isinstance(before, int) else ""


def _table(asked: Asked, file: File, words: Words, room: int) -> Work:
    opening = f"t = records({'/data/' + file.name!r})"
    dialect: Dialect | None = None
    if file.form == "table":
        told = yield from _dialect(file)
        if isinstance(told, str):
            return words.failed(file.name, told)
        dialect = told
        opening = f"t = load({'/data/' + file.name!r}, {dialect.arguments})"
    wanted = chosen(asked, file, dialect)
    without = dialect.simpler if dialect else {}
    lines: list[str] = []
    results: list[tuple[Want, object]] = []
    rows = 0
    for group in _packed(wanted, opening, without, room):
        found = yield from _run(_cell(opening, group, without), _cell(opening, group, without, careful=True), [file])
        if isinstance(found, str):
            lines.append(words.failed(", ".join(dict.fromkeys(words.say(f"op {one.op}") for one in group)), found))
        elif "shape" in found:
            return words.say("shape", name=file.name, outline=found["shape"])
        else:
            rows = int(str(found["rows"]))
            answers = found["found"]
            results += zip(group, answers, strict=False) if isinstance(answers, list) else []
    return "\n".join([words.table(file.name, rows, results, asked.query), *lines] if results else lines)


def chosen(asked: Asked, file: File, dialect: Dialect | None) -> list[Want]:
    """Return what this agent finds out about a table: its theme's part of what is asked, or a report of its theme."""
    theme = theme_of(asked.task.instruction)
    ops = next((ops for name, ops in THEMES if name == theme), tuple(op for _, ops in THEMES for op in ops))
    query = asked.query or asked.task.instruction
    told = [one for one in table_wants(query, file, dialect) if one.op in ops]
    if told and not general(query):
        return told
    usual: tuple[Op, ...] = ("profile", "groups", "correlate", "outliers", "trend")
    if not theme and len(asked.attachments) > 1:
        usual = ("profile", "groups")
    return list(dict.fromkeys([Want(op) for op in usual if op in ops] + [one for one in told if one.columns]))


def _packed(wanted: list[Want], opening: str, without: dict[str, str], room: int) -> list[list[Want]]:
    """Put into one cell what an answer has room for."""
    groups: list[list[Want]] = []
    for one in wanted:
        if groups and estimate_text(json.dumps(_cell(opening, [*groups[-1], one], without))) < room - 60:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _cell(opening: str, wanted: list[Want], without: dict[str, str], *, careful: bool = False) -> str:
    """Return the program that finds this out; the careful one reads less and keeps what works."""
    calls = [_call(one) for one in wanted]
    if careful:
        calls = [f"attempt(lambda: {one})" for one in calls]
        opening = opening[:-1] + f", limit={ROWS})"
    shown = f"show({{'rows': t.size, 'found': [{', '.join(calls)}]}})"
    if opening.startswith("t = records"):
        path = opening[len("t = records(") :].partition(", limit")[0].rstrip(")")
        shown = f"if t:\n {shown}\nelse:\n show({{'shape': shape({path})}})"
    return cell(f"{opening}\n{shown}", without)


def _call(want: Want) -> str:
    table = "t"
    for one in want.filters:
        table = f"keep({table}, t.at({one.column!r}), {one.sign!r}, {one.value!r})"
    columns = _places(want.columns)
    calls = {
        "profile": f"profile({table})",
        "duplicates": f"duplicates({table})",
        "correlate": f"correlate({table})",
        "outliers": f"outliers({table})",
        "groups": f"groups({table}, {_places(want.by)}, {columns}{', 12, True' if want.extremes else ', 6' if not want.by else ''})",
        "top": f"top({table}, {columns}, {want.count}, {want.largest})",
        "missing": f"gaps({table}, {columns})",
    }
    return calls.get(want.op, f"{want.op}({table}, {columns})")


def _places(columns: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"t.at({one!r})" for one in columns) + "]"


def _join(asked: Asked, files: list[File], words: Words, room: int) -> Work:
    openings: list[str] = []
    tables = [one for one in files if one.form in {"table", "json"}]
    simpler = (tables[0].dialect or Dialect(["a,b"])).simpler
    for file in tables:
        path = "/data/" + file.name
        told = (yield from _dialect(file)) if file.form == "table" else None
        if isinstance(told, str):
            return words.failed(file.name, told)
        simpler = {name: one for name, one in simpler.items() if told and told.simpler.get(name) == one}
        openings.append(f"{file.name!r}: " + (f"load({path!r}, {told.arguments})" if told else f"records({path!r})"))
    start = f"tables = {{{', '.join(openings)}}}\n"
    calls = "{'links': links(tables), 'named': named(tables), 'lookups': lookups(tables)}"
    code = cell(f"{start}print(json.dumps({calls}, ensure_ascii=False))", simpler)
    found = yield from _run(code, code, tables)
    if isinstance(found, str):
        return words.failed(words.names(one.name for one in tables), found)
    explained = [", ".join(map(repr, one)) for one in lists(found["lookups"])][:3]
    if explained:
        calls = ", ".join(f"joined(tables, {one})" for one in explained)
        code = cell(f"{start}print(json.dumps({{'joined': [{calls}]}}, ensure_ascii=False))", simpler)
        got = yield from _run(code, code, tables)
        found |= got if isinstance(got, dict) else {}
    return words.links(found)


def _text(asked: Asked, file: File, words: Words) -> Work:
    path = "/data/" + file.name
    why = ""
    if file.form == "text":
        code = cell(f"show(survey(read({path!r}), {asked.query[:600]!r}))")
        found = yield from _run(code, code, [file])
        if isinstance(found, dict):
            return words.text(file.name, found)
        why = found
    told = yield Call("attachments", json.dumps({"action": "read", "name": file.name}, ensure_ascii=False))
    if told.failed:
        return words.failed(file.name, why or told.content)
    return words.text(file.name, survey(told.content, asked.query))
