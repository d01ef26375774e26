"""An agent's turn: which tool to call next, and at last what was found.

An agent's work is a generator of calls that receives observations; a turn replays the transcript through it. So the
same transcript always gives the same next call, and nothing is remembered between turns.
"""

import json
import re
from collections.abc import Generator
from typing import Final

import msgspec

from multiagent.llm.gate_estimate import estimate_text
from multiagent.llm.offline.arithmetic import expressions
from multiagent.llm.offline.cells import cell
from multiagent.llm.offline.dialect import Dialect, simpler
from multiagent.llm.offline.guest_text import survey
from multiagent.llm.offline.intents import USUAL, Want, general, mark_columns, wants, where
from multiagent.llm.offline.intents import words as patterns
from multiagent.llm.offline.planner import THEMES, theme_of, without
from multiagent.llm.offline.request import Asked, File, Observation
from multiagent.llm.offline.session import recall
from multiagent.llm.offline.wording import Words, lists

ROWS: Final = 20_000
"""What the second try reads of a table that the first could not."""
NUMBERS: Final = frozenset(("int", "float"))
PAGES: Final = 4
"""How often a file is read on where no code can read it."""
Found = dict[str, object]


class Call(msgspec.Struct, frozen=True):
    """A tool call to make."""

    name: str
    arguments: str


class Source(msgspec.Struct, frozen=True):
    """A table to load: the code for it, the guest functions it can do without, its columns' kinds by name."""

    code: str
    simpler: dict[str, str]
    kinds: dict[str, str]


Work = Generator[Call, Observation, str]


def turn(asked: Asked, seen: list[Observation], tools: frozenset[str], room: int) -> Call | str:
    """Return the next call, of one of these tools and of at most ``room`` tokens, or the agent's final text."""
    words = Words(chinese=asked.chinese)
    work = _work(asked, words, room)
    rest = iter(seen)
    try:
        call = next(work)
        while True:
            given: Observation | None = None
            if call.name not in tools:
                why = words.say("no tool" if tools or not seen else "no turns", tool=call.name)
                given = Observation(call.name, "", why, failed=True, gone=True)
            elif estimate_text(call.name) + estimate_text(call.arguments) > room:
                given = Observation(call.name, "", words.say("too long"), failed=True, gone=True)
            else:
                given = next(rest, None)
            if given is None:
                return call
            call = work.send(given)
    except StopIteration as done:
        return str(done.value)


def _work(asked: Asked, words: Words, room: int) -> Work:
    files = [one for one in asked.attachments if one.form != "binary"]
    tables = [one for one in files if one.form in {"table", "json"}]
    theme = theme_of(asked.task.instruction)
    parts: list[str] = []
    if not files or (theme in {"", "all"} and expressions(asked.query)):
        parts.append((yield from _sums(asked, words)))
    for file in files if theme != "join" else []:
        told = yield from (_table(asked, file, words, room) if file in tables else _text(asked, file, words))
        parts.append(told)
    if len(tables) > 1:
        parts.append((yield from _join(asked, tables, words)))
    return "\n\n".join(one for one in parts if one)


def _sums(asked: Asked, words: Words) -> Work:
    found = expressions(asked.task.instruction.partition("]")[2] or asked.task.instruction) or expressions(asked.query)
    lines: list[str] = []
    for one in dict.fromkeys(found):
        told = yield Call("calculator", json.dumps({"expression": one}))
        lines.append(words.failed(one, told.content) if told.failed else f"{one} = **{told.content.strip()}**")
    before = "\n\n".join(one.result for one in asked.inputs)
    return "\n".join(lines) or before or _earlier(asked, words) or words.ignorant(asked.attachments)


def _earlier(asked: Asked, words: Words) -> str:
    """What an earlier task of the session has found, where the query is about it."""
    turn = recall(asked.session, asked.query)
    return words.say("earlier", n=turn.n, query=turn.query, answer=turn.answer) if turn is not None else ""


def _run(files: list[File], *cells: str) -> Generator[Call, Observation, Found | str]:
    """Run a cell, where it fails the next; return what it printed, or why there is nothing."""
    why = ""
    for code in cells:
        arguments = {"code": code, "files": [one.name for one in files]}
        told = yield Call("python", json.dumps(arguments, ensure_ascii=False))
        why = told.content
        if told.failed and told.gone:
            break
        try:
            found = json.loads(told.content)
        except ValueError:
            continue
        if not told.failed and isinstance(found, dict):
            return found
    return why


def _source(file: File) -> Generator[Call, Observation, Source | str]:
    """Return how to load a table, from its head or, where that has too little data, from a look into the file."""
    path = f"/data/{file.name}"
    if file.form == "json":
        kinds = file.fields
        return Source(f"records({path!r})", simpler(list(kinds.values()), []) | file.simpler, kinds)
    dialect = file.dialect
    if not dialect:
        found = yield from _run([file], cell(f"show(peek({path!r}))", file.simpler))
        if isinstance(found, str):
            return found
        lines = found["lines"] if isinstance(found["lines"], list) else []
        dialect = Dialect([str(one) for one in lines], int(str(found["before"])))
    kinds = dict(zip(dialect.names, dialect.kinds, strict=True))
    return Source(f"load({path!r}, {dialect.arguments})", dialect.simpler | file.simpler, kinds)


def _table(asked: Asked, file: File, words: Words, room: int) -> Work:
    source = yield from _source(file)
    if isinstance(source, str):
        return words.failed(file.name, source)
    lines: list[str] = []
    results: list[tuple[Want, object]] = []
    rows = 0
    wanted = yield from _meant(chosen(asked, source), source, file)
    # A long table takes a good part of the sandbox's time for each thing that is asked of it.
    for group in _packed(wanted, source, room if file.lines <= ROWS else 0):
        careful = _cell(source, group, limit=f", limit={ROWS})")
        found = yield from _run([file], _cell(source, group), careful)
        if isinstance(found, str):
            names = words.names(dict.fromkeys(words.say(f"op {one.op}") for one in group))
            lines.append(words.failed(names, found))
        elif "shape" in found:
            return words.say("shape", name=file.name, outline=found["shape"])
        else:
            told = found["found"]
            if found["rows"] == ROWS < file.lines:
                names = words.names(dict.fromkeys(words.say(f"op {one.op}") for one in group))
                lines.append(words.say("limited", rows=ROWS, names=names))
            if found["total"]:
                lines.append(words.say("total row", label=found["total"]))
            rows = max(rows, int(str(found["rows"])))
            results += [(one, told[_call(one, source)]) for one in group] if isinstance(told, dict) else []
    return "\n".join(dict.fromkeys([*(words.table(file.name, rows, results, asked.query) if results else []), *lines]))


def _meant(wanted: list[Want], source: Source, file: File) -> Generator[Call, Observation, list[Want]]:
    """Look for the words of the question that may be cells of the table; return what is wanted of which rows."""
    texts = list(dict.fromkeys(one.said for one in wanted if one.said))
    if not texts:
        return wanted
    calls = ", ".join(f"{one!r}: cited(t, {one!r})" for one in texts)
    code = f"t = {source.code}\nshow({{'cited': {{{calls}}} if t else {{}}}})"
    found = yield from _run([file], cell(code, source.simpler))
    told = found["cited"] if isinstance(found, dict) else {}
    cells = {text: lists(told.get(text)) if isinstance(told, dict) else [] for text in texts}
    return list(dict.fromkeys(part for one in wanted for part in where(one, cells.get(one.said, []))))


def chosen(asked: Asked, source: Source) -> list[Want]:
    """Return what this agent finds out about a table: its theme's part of what is asked, or a report of its theme."""
    theme = theme_of(asked.task.instruction)
    ops = dict(THEMES).get(theme) or tuple(op for _, ops in THEMES for op in ops)
    query = without(asked.query or asked.task.instruction, asked.attachments)
    every = wants(query, source.kinds)
    told = [one for one in every if one.op in ops]
    if every and not general(query):
        return told
    usual = USUAL if theme or len(asked.attachments) < 2 else USUAL[:2]
    if patterns()["several tables"].search(asked.query):  # what this one has no name for, another may
        every, told = ([msgspec.structs.replace(one, unknown=()) for one in some] for some in (every, told))
    rows = next((one for one in every if one.filters or one.unknown), Want("profile"))
    report = [
        Want(op, filters=rows.filters, said=rows.said, unknown=rows.unknown, asked=False) for op in usual if op in ops
    ]
    return list(dict.fromkeys(report + [one for one in told if one.columns or one.op == "several"]))


def _packed(wanted: list[Want], source: Source, room: int) -> list[list[Want]]:
    """Put into one cell what an answer has room for."""
    groups: list[list[Want]] = []
    for one in wanted:
        if groups and estimate_text(json.dumps(_cell(source, [*groups[-1], one]))) < room - 60:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _cell(source: Source, wanted: list[Want], limit: str = "") -> str:
    """Return the program that finds this out; with a limit it reads less and keeps what works."""
    calls = dict.fromkeys(_call(one, source) for one in wanted)
    found = ", ".join(f"{one!r}: attempt(lambda: {one})" if limit else f"{one!r}: {one}" for one in calls)
    shown = f"show({{'total': label(t), 'rows': t.size, 'found': {{{found}}}}})"
    if source.code.startswith("records"):
        shown = f"if t:\n {shown}\nelse:\n show({{'shape': shape{source.code[len('records') :]}}})"
    return cell(f"t = {source.code[:-1]}{limit or ')'}\n{shown}", source.simpler)


def _call(want: Want, source: Source) -> str:
    part = "t"
    for one in want.filters:
        at, kind = f"{part}, t.at({one.column!r})", source.kinds.get(one.column)
        compared = f"{at}, {one.sign!r}, {one.values[0]!r})"
        out = ", out=True" if one.sign == "!=" else ""
        among = f"among({at}, {list(one.values)!r}{out})"
        part = (
            "on(" + compared
            if kind == "date"
            else "compare(" + compared
            if kind in NUMBERS and len(one.values) == 1
            else among
        )
    table = "t" if part == "t" else "p"
    columns = _places(want.columns)
    dates = sorted(
        (name not in want.columns, f"t.at({name!r})") for name, kind in source.kinds.items() if kind == "date"
    )
    slopes = ", slopes=True" if want.slopes else ""
    how = ", 12, extremes=True" if want.extremes else "" if want.by else ", 6"
    calls = {
        "correlate": f"correlate({table}, {columns})",
        "outliers": f"outliers({table}, {columns})",
        "trend": f"trend({table}, {columns}, {dates[0][1] if dates else f'steady({table}, {columns})'}{slopes})",
        "groups": f"groups({table}, {_places(want.by)}, {columns}{how})",
        "top": f"top({table}, {columns}, {want.count}, largest={want.largest})",
        "share": f"share({table}, t, {columns})",
        "several": f"several({table}, {columns})",
    }
    summed = _places(tuple(one for one in want.columns if one not in want.by) or want.columns)
    call = calls.get(want.op, f"profile({table}, {summed if want.op in {'sums', 'distinct'} else '[]'})")
    return call if part == "t" else f"told({part}, lambda p: {call})"


def _places(columns: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"t.at({one!r})" for one in columns) + "]"


def _join(asked: Asked, tables: list[File], words: Words) -> Work:
    sources: dict[str, Source] = {}
    for file in tables:
        source = yield from _source(file)
        if isinstance(source, str):
            return words.failed(file.name, source)
        sources[file.name] = source
    shared = dict(set.intersection(*(set(one.simpler.items()) for one in sources.values())))
    start = f"tables = {{{', '.join(f'{name!r}: {one.code}' for name, one in sources.items())}}}\n"
    calls = "{'links': links(tables), 'named': named(tables), 'lookups': lookups(tables)}"
    found = yield from _run(tables, cell(f"{start}print(json.dumps({calls}, ensure_ascii=False))", shared))
    if isinstance(found, str):
        return words.failed(words.names(sources), found)
    named = mark_columns(without(asked.query, tables), [one for source in sources.values() for one in source.kinds])[1]
    explained = [f"joined(tables, {', '.join(map(repr, one))}, {named!r})" for one in lists(found["lookups"])][:3]
    if any(kind in NUMBERS for one in sources.values() for kind in one.kinds.values()) and explained:
        code = cell(f"{start}print(json.dumps({{'joined': [{', '.join(explained)}]}}, ensure_ascii=False))", shared)
        got = yield from _run(tables, code)
        found |= got if isinstance(got, dict) else {}
    return words.links(found)


def _text(asked: Asked, file: File, words: Words) -> Work:
    path = f"/data/{file.name}"
    why = ""
    if file.form == "text":
        found = yield from _run([file], cell(f"show(survey(read({path!r}), {asked.query[:600]!r}))", file.simpler))
        if isinstance(found, dict):
            return words.text(file.name, found, asked.query)
        why = found
    lines: list[str] = []
    more: re.Match[str] | None = None
    for _ in range(PAGES):
        arguments = {"action": "read", "name": file.name, "offset": int(more[1]) if more else 0}
        told = yield Call("attachments", json.dumps(arguments, ensure_ascii=False))
        if told.failed:
            return words.failed(file.name, why or told.content)
        head, _, text = told.content.partition("\n")
        lines.append(text)
        more = re.search(r"more from offset (\d+)", head)
        if not more:
            break
    part = "\n" + words.say("partly") if more or any("characters left out" in one for one in lines) else ""
    return words.text(file.name, survey("\n".join(lines), asked.query), asked.query) + part
