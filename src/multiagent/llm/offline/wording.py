"""What was found, in words: every number and name comes from a tool's answer. The phrases are in ``phrases.json``."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Final

from multiagent.llm.gate_estimate import estimate_text
from multiagent.llm.offline.intents import Want
from multiagent.llm.offline.request import File, Finding

Record = Mapping[str, object]
DETAILS: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"(, then .*?(?=; (?:the )?smallest|\.$)|，其次 .*?(?=；最小|。$))",
        r"^- (Mean of|按 `.*` 的 `.*` 平均).*\n",
        r"^  - `.*\n",
    )
)
"""What an answer can lose, the least first, where it is too long."""


@functools.cache
def phrases() -> dict[str, list[str]]:
    """Return each phrase in English and Chinese."""
    text = (resources.files(__package__) / "phrases.json").read_text(encoding="utf-8")
    found: dict[str, list[str]] = json.loads(text)
    return found


def shown(value: object) -> str:
    """Write a number in full, without grouping or exponent; a text as it is."""
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, float) and "e" in text:
        return f"{value:.12f}".rstrip("0") if "e-" in text else f"{value:.0f}"
    return text


def records(value: object) -> list[dict[str, object]]:
    """Return the records in a list that a tool printed."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def lists(value: object) -> list[list[object]]:
    """Return the lists in a list that a tool printed."""
    return [one for one in value if isinstance(one, list)] if isinstance(value, list) else []


class Words:
    """The phrases of one language."""

    def __init__(self, *, chinese: bool) -> None:
        self._language = int(chinese)

    def say(self, phrase: str, values: Record | None = None, **more: object) -> str:
        """Return a phrase with its values."""
        every = {key: shown(value) for key, value in {**(values or {}), **more}.items()}
        return phrases()[phrase][self._language].format_map(every)

    def names(self, parts: Iterable[object]) -> str:
        """Join names."""
        return self.say("comma").join(shown(one) for one in parts)

    def failed(self, what: str, why: str) -> str:
        """Say that something could not be done, and why."""
        last = next((line.strip() for line in reversed(why.splitlines()) if line.strip()), "")[:300]
        return self.say("failed", what=what, why=last)

    def ignorant(self, files: tuple[File, ...]) -> str:
        """Say that there is nothing to compute from."""
        return self.say("unreadable", names=self.names(one.name for one in files)) if files else self.say("ignorant")

    def table(self, name: str, rows: object, results: list[tuple[Want, object]], query: str) -> str:
        """All that was found out about a table; what a plain report cannot find is left out."""
        lines = [*self._counted(name, rows, results, query), self.say("table", name=name, rows=rows)]
        for want, found in results:
            if isinstance(found, dict) and "error" in found:
                lines.append(self.failed(self.say(f"op {want.op}"), str(found["error"])))
                continue
            if want.filters:
                where = self.names(f"`{one.column}` {one.sign} {one.value}" for one in want.filters)
                lines.append(self.say("where", where=where))
            told: list[str] = getattr(self, f"_{want.op}")(found, want, query)
            lines += told or ([self.say("nothing", op=self.say(f"op {want.op}"))] if want != Want(want.op) else [])
        return "\n".join(dict.fromkeys(lines))

    def _counted(self, name: str, rows: object, results: list[tuple[Want, object]], query: str) -> list[str]:
        """Answer "how many zones" where the file is called so, or a column is."""
        lines = []
        columns = [one for _, found in results if isinstance(found, dict) for one in records(found.get("columns"))]
        nouns = [
            word
            for found in re.findall(r"how many ((?:\w+ and )*\w+)", query, re.IGNORECASE)
            for word in found.split(" and ")
        ]
        for noun in nouns:
            stem = re.sub(r"ies$", "y", noun.lower()).rstrip("s")
            if len(stem) > 2 and re.search(rf"(?<![a-z]){stem}", name.lower()):
                lines.append(self.say("rows called", rows=rows, noun=noun, name=name))
            alike = [one for one in columns if re.search(rf"(?<![a-z]){stem}(?![a-z])", str(one["name"]).lower())]
            lines += [self.say("values called", one, noun=noun, file=name) for one in alike[:1] if len(stem) > 2]
        return lines

    def _profile(self, found: Record, want: Want, query: str) -> list[str]:
        columns = records(found["columns"])
        lines = [self.say("rows", found)]
        for one in columns:
            form = "column range" if "mean" in one else "column span" if "first" in one else "column"
            kind = "kind text" if one["kind"] == "text" else str(one["kind"])
            lines.append(self.say(form, one | {"kind": self.say(kind)}))
        return [*lines, self._holes([(str(one["name"]), int(str(one["missing"]))) for one in columns])]

    def _holes(self, gaps: list[tuple[str, int]]) -> str:
        holes = sorted((one for one in gaps if one[1]), key=lambda one: -one[1])
        if not holes:
            return self.say("no gaps")
        each = self.names(f"`{name}` {count}" for name, count in holes)
        most = self.say("most gaps", name=holes[0][0]) if len(holes) > 1 and holes[0][1] > holes[1][1] else ""
        return self.say("gaps", total=sum(count for _, count in holes), each=each, most=most)

    def _missing(self, found: Record, want: Want, query: str) -> list[str]:
        gaps = [(str(one["name"]), int(str(one["missing"]))) for one in records(found["columns"])]
        told = [self.say("gap", name=name, count=count) for name, count in gaps if name in want.columns]
        return [self._holes(gaps), *told]

    def _duplicates(self, found: Record, want: Want, query: str) -> list[str]:
        return [self.say("duplicates", found)]

    def _distinct(self, found: Record, want: Want, query: str) -> list[str]:
        columns = [one for one in records(found["columns"]) if one["name"] in want.columns or not want.columns]
        return [self.say("distinct", one) for one in columns]

    def _sums(self, found: Record, want: Want, query: str) -> list[str]:
        columns = [one for one in records(found["columns"]) if "sum" in one]
        named = [one for one in columns if one["name"] in want.columns] or columns
        forms = ("sums", "deviation") if re.search(r"deviation|std|标准差", query, re.IGNORECASE) else ("sums",)
        return [self.say(form, one) for one in named for form in forms]

    def _groups(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in records(found):
            lines.append(self.say("mentions" if one.get("several") else "sizes", one) + self._ranking(one["sizes"]))
            for value in records(one.get("values")):
                ways = [way for way in ("total", "mean", "max", "min") if way in value]
                lines += [self.say(way, value, by=one["by"]) + self._ranking(value[way]) for way in ways]
        return lines

    def _ranking(self, value: object) -> str:
        order = lists(value)
        if not order:
            return self.say("stop")
        ties = [name for name, number in order if number == order[0][1]]
        text = self.say("largest", names=self.names(f"**{name}**" for name in ties[:6]), number=order[0][1])
        if middle := order[len(ties) : -1]:
            text += self.say("then", names=self.names(f"{name} {shown(number)}" for name, number in middle))
        if order[-1][1] != order[0][1]:
            text += self.say("smallest" if order[-1][0] else "several", name=order[-1][0], number=order[-1][1])
        return text + self.say("stop")

    def _correlate(self, found: Record, want: Want, query: str) -> list[str]:
        pairs = lists(found["pairs"])
        named = [pair for pair in pairs if {pair[1], pair[2]} <= set(want.columns)]
        near = [pair for pair in pairs if {pair[1], pair[2]} & set(want.columns)]
        told = named or near[:3] or pairs[1:3]
        lines = []
        for pair in [*pairs[:1], *(one for one in told if one != pairs[0])]:
            sign = self.say("negative" if shown(pair[0]).startswith("-") else "positive")
            form = "strongest" if pair == pairs[0] else "pair"
            lines.append(self.say(form, one=pair[1], other=pair[2], r=pair[0], sign=sign))
        if pairs and found["by_rank"] != pairs[0]:
            r, one, other = lists([found["by_rank"]])[0]
            lines.append(self.say("by rank", one=one, other=other, r=r))
        return lines

    def _outliers(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in sorted(records(found), key=lambda one: one["name"] not in want.columns):
            if one["rows"]:
                each = self.names(self.say("row", row=row, value=value) for row, value in lists(one["rows"]))
                lines.append(self.say("outliers", one, each=each))
        clean = [f"`{one['name']}`" for one in records(found) if not one["rows"]]
        return lines + ([self.say("no outliers", names=self.names(clean))] if clean else [])

    def _trend(self, found: object, want: Want, query: str) -> list[str]:
        lines: list[str] = []
        flat: dict[str, list[str]] = {}
        for one in sorted(records(found), key=lambda one: -float(str(one["strength"]))):
            along = self.say("along", one) if one["along"] else self.say("along rows")
            slope = self.say(f"slope {one['unit']}", one) if "slope" in one else ""
            if one["direction"] == "flat":
                flat.setdefault(along, []).append(f"`{one['name']}`")
            else:
                lines.append(self.say(str(one["direction"]), one, along=along, slope=slope))
        return lines + [self.say("flat", names=self.names(names), along=along) for along, names in flat.items()]

    def _top(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in records(found):
            rows = [dict(zip(("row", "label", "value"), row, strict=True)) for row in lists(one["rows"])]
            each = self.names(self.say("row of" if row["label"] else "row", row) for row in rows)
            lines.append(self.say("highest" if want.largest else "lowest", one, each=each))
        return lines

    def links(self, found: Record) -> str:
        """How tables relate."""
        lines = []
        for link in records(found.get("links")):
            sides = [dict(zip(("file", "column", "count"), side, strict=False)) for side in lists(link["sides"])]
            text = self.say("shared", link, one=self.say("side", sides[0]), other=self.say("side", sides[1]))
            for file, _, _, count, few in lists(link["sides"]):
                told = {"file": file, "count": count, "few": self.names(few) if isinstance(few, list) else ""}
                text += self.say("only" if count else "all shared", told)
            lines.append(text + self.say("stop"))
        for one in records(found.get("named")):
            order = [(shown(code), f" ({name})" if name else "", count) for code, name, count in lists(one["top"])]
            lines.append(
                self.say("named", one, order=self.names(f"{code}{name} {count}" for code, name, count in order))
            )
        for one in (one for one in records(found.get("joined")) if one["groups"]):
            lines += [
                self.say("joined", one),
                *("  " + line for line in self._groups(one["groups"], Want("groups"), "")),
            ]
        return "\n".join(lines) or self.say("strangers")

    def text(self, name: str, found: Record) -> str:
        """What a text holds."""
        lines = [self.say("text", found, name=name)]
        if isinstance(found["headings"], list) and found["headings"]:
            lines.append(self.say("headings", names=self.names(found["headings"])))
        if frequent := lists(found["keywords"]):
            lines.append(self.say("keywords", names=self.names(f"{word} ({count})" for word, count in frequent)))
        lines += [self.say("occurs", word=word, count=count) for word, count in lists(found["quoted"])]
        if isinstance(found["sentences"], list) and found["sentences"]:
            lines += [self.say("sentences"), *(f"  > {one}" for one in found["sentences"])]
        return "\n".join(lines)

    def synthesis(self, results: tuple[Finding, ...], missing: tuple[str, ...], most: int) -> str:
        """One answer of all results, with what is missing and the sources, in at most so many tokens if it can be."""
        done = [one for one in results if one.status == "completed" and one.result.strip()]
        lost = [f"{one.title or one.task} ({one.status})" for one in results if one not in done]
        first = dict.fromkeys(line for one in done for line in one.result.splitlines() if line.startswith("- **"))
        parts = ["\n".join(first)] if first else []
        for one in done:
            text = "\n".join(line for line in one.result.strip().splitlines() if line not in first)
            parts += [f"### {one.title}\n{text}" if len(done) > 1 else text] if text else []
        last = (
            [self.say("missing parts", names=self.names(dict.fromkeys([*lost, *missing])))] if lost or missing else []
        )
        if sources := dict.fromkeys(name for one in results for name in one.sources):
            last.append(self.say("sources", names=self.names(sources)))
        body, end = "\n\n".join(parts), "\n\n".join([*last, self.say("label")])
        room = most - estimate_text(end) - 40
        shorter = body
        for pattern in DETAILS:
            shorter = shorter if estimate_text(shorter) <= room else pattern.sub("", shorter)
        note = [self.say("shortened")] if shorter != body else []
        return "\n\n".join(one for one in [shorter, *note, end] if one)
