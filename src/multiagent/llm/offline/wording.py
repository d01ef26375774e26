"""What was found, in words: every number and name comes from a tool's answer. The phrases are in ``phrases.json``."""

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Final

from multiagent.llm.gate_estimate import estimate_text
from multiagent.llm.offline.intents import Want, general, words
from multiagent.llm.offline.request import File, Finding

Record = Mapping[str, object]
SINGLE: Final = re.compile(
    r"(?<![\w.,-])(1 (?:distinct |missing |Chinese )?(?:group|value|row|line|paragraph|word|cell|character))s\b"
)
ENDS: Final = r"(?!\s+(?:in|for|of|from|with|without|where|have|has|that|which|whose|not)\b)"
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
    """Write a number in full, without grouping, and exponent as far as it has digits; a text as it is."""
    if value in (math.inf, -math.inf):
        return "∞"
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, float) and "e" in text and 1e-12 < abs(value) < 1e22:
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
        return SINGLE.sub(r"\1", phrases()[phrase][self._language].format_map(every))

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

    def table(self, name: str, rows: object, results: list[tuple[Want, object]], query: str) -> list[str]:
        """All that was found out about a table, by rows; what a plain report cannot find is left out."""
        if not rows:
            return [self.say("table", name=name, rows=rows), self.say("empty file", name=name)]
        blocks: dict[str, list[str]] = {"": []}
        for want, found in results:
            part = found if isinstance(found, dict) and "size" in found else {"found": found, "size": rows}
            where = self.say("where", where=self.condition(want), size=part["size"], rows=rows) if want.filters else ""
            lines = (
                [self.say("not applied", names=self.names(f"“{one}”" for one in want.unknown))] if want.unknown else []
            )
            if want.absent and isinstance(found, dict):
                columns = self.names(f"`{one['name']}`" for one in records(found.get("columns"))[:20])
                lines = [self.say("absent", name=name, what=want.absent, columns=columns)]
            else:
                lines += self._told(want, part["found"], query) if part["size"] or not where else [self.say("no row")]
            where = "" if want.op == "share" else where
            blocks[where] = [*blocks.get(where, []), *lines]
        whole = all(one.op != "several" for one, _ in results) and len(blocks) == 1
        lines = self._counted(name, rows, results, query) if whole else []
        lines.append(self.say("table", name=name, rows=rows))
        for where, told in blocks.items():
            lines += dict.fromkeys([where, *told] if where and told else told)
        return lines if len(lines) > 1 else [*lines, self.say("nothing more")]

    def condition(self, want: Want) -> str:
        """Say which rows are meant."""
        told = (f"`{one.column}` {one.sign} {self.say('or').join(one.values)}" for one in want.filters)
        return self.names(re.sub(r"(?<= )-(?=\d+-)|-+$", "", one) for one in told)

    def _told(self, want: Want, found: object, query: str) -> list[str]:
        """Say what one thing that was asked has found, and what it has not."""
        what = self.say(f"op {want.op}")
        if isinstance(found, dict) and "error" in found:
            return [self.failed(what, str(found["error"]))]
        told: list[str] = getattr(self, f"_{want.op}")(found, want, query)
        if want.op in {"profile", "missing", "duplicates", "several", "share"} or not want.asked:
            return told or ([self.say("nothing", op=what)] if want.asked else [])
        text = "\n".join(told)
        if not told and want.op == "groups":
            return [self.say("nothing", op=what)]
        lost = [one for one in want.columns if one not in want.by and f"`{one}`" not in text]
        return told + [self.say("nothing in", op=what, name=one) for one in lost] or [self.say("nothing", op=what)]

    def _counted(self, name: str, rows: object, results: list[tuple[Want, object]], query: str) -> list[str]:
        """Answer "how many zones" where the file is called so, or a column is."""
        lines = []
        columns = [one for _, found in results if isinstance(found, dict) for one in records(found.get("columns"))]
        nouns = [
            word
            for found in re.findall(rf"how many ((?:\w+ and )*\w+)\b{ENDS}", query, re.IGNORECASE)
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
        if want.filters and want.asked:
            return [self.say("rows met", found)]
        columns = records(found["columns"])
        lines = [self.say("rows", found)]
        for one in columns:
            form = "column range" if "mean" in one else "column span" if "first" in one else "column"
            kind = "kind text" if one["kind"] == "text" else str(one["kind"])
            lines.append(self.say(form, one | {"kind": self.say(kind)}))
        rest = [self.say("more columns", count=len(columns))] if str(len(columns)) != shown(found["width"]) else []
        return [*lines, *rest, self._holes(found)]

    def _holes(self, found: Record) -> str:
        holes = [(name, count) for count, name in lists(found["holes"])]
        if not holes:
            return self.say("no gaps")
        each = self.names(f"`{name}` {count}" for name, count in holes)
        most = self.say("most gaps", name=holes[0][0]) if len(holes) > 1 and holes[0][1] != holes[1][1] else ""
        return self.say("gaps", total=found["gaps"], each=each, most=most)

    def _missing(self, found: Record, want: Want, query: str) -> list[str]:
        gaps = [(str(one["name"]), one["missing"]) for one in records(found["columns"])]
        return [self._holes(found), *(self.say("gap", name=name, count=n) for name, n in gaps if name in want.columns)]

    def _duplicates(self, found: Record, want: Want, query: str) -> list[str]:
        return [self.say("duplicates", found)]

    def _distinct(self, found: Record, want: Want, query: str) -> list[str]:
        return [self.say("distinct", one) for one in records(found["columns"])]

    def _sums(self, found: Record, want: Want, query: str) -> list[str]:
        lines = []
        spread = re.search(r"deviation|std|标准差", query, re.IGNORECASE)
        for one in (one for one in records(found["columns"]) if "sum" in one):
            lines += [self.say("deviation", one)] if spread and "deviation" in one else []
            lines.append(self.say("sums", one) + (self.say("unread", one) if one["unread"] else ""))
        return lines

    def _share(self, found: object, want: Want, query: str) -> list[str]:
        some = records(found) if want.filters else []
        where = self.condition(want)
        return [self.say("share" if one["of"] else "share of rows", one, where=where) for one in some]

    def _several(self, found: object, want: Want, query: str) -> list[str]:
        asked = re.search(
            r"(?:how many|number of)\s+([^?!;\n]*?(?:one|several|multiple|shared)[^?!.;,\n]*)", query, re.IGNORECASE
        )
        noun = asked[1] if asked else self.say("op several")
        return [self.say("list of several", one, noun=noun) for one in records(found)]

    def _groups(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in records(found):
            lines.append(self.say("mentions" if one.get("several") else "sizes", one) + self._ranking(one["sizes"]))
            for value in records(one.get("values")):
                ways = [way for way in ("total", "mean", "max", "min") if way in value]
                lines += [self.say(way, value, by=one["by"]) + self._ranking(value[way]) for way in ways]
        return lines

    def _ranking(self, value: object) -> str:
        told = records([value])
        order, ends = (lists(told[0]["order"]), told[0]["ends"]) if told else ([], [])
        if not order or not isinstance(ends, list):
            return self.say("stop")
        number, (name, least) = order[0][1], lists(told[0]["last"])[0]
        ties = [str(one) for one, other in order if other == number][:6]
        if ends[0] == told[0]["of"] != 1:
            return self.say("all alike", count=ends[0], number=number) + self.say("stop")
        tied = self.say("tied", count=ends[0]) if ends[0] != 1 else ""
        text = self.say("largest", names=self.names(f"**{one}**" for one in ties) + tied, number=number)
        if middle := [(one, other) for one, other in order if other not in {number, least}]:
            text += self.say("then", names=self.names(f"{one} {shown(other)}" for one, other in middle))
        if least != number:
            text += self.say("smallest" if ends[1] == 1 else "several", name=name, number=least, count=ends[1])
        return text + self.say("stop")

    def _correlate(self, found: Record, want: Want, query: str) -> list[str]:
        pairs = lists(found["pairs"])
        near = pairs if len(want.columns) > 1 else [pair for pair in pairs if {pair[1], pair[2]} & set(want.columns)]
        lines = []
        for pair in near[:10] or pairs[:3]:
            sign = self.say("negative" if shown(pair[0]).startswith("-") else "positive" if pair[0] else "none")
            form = "strongest" if pair == pairs[0] and len(pairs) > 1 else "pair"
            lines.append(self.say(form, one=pair[1], other=pair[2], r=pair[0], sign=sign))
        if pairs and found["by_rank"] != pairs[0]:
            r, one, other = lists([found["by_rank"]])[0]
            lines.append(self.say("by rank", one=one, other=other, r=r))
        if want.columns:
            lines += [self.say("no pair", one=one, other=other) for one, other in lists(found["flat"])[:5]]
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
            same = self.say("same", one) if one["same"] != one["told"] else ""
            lines.append(self.say("highest" if want.largest else "lowest", one, each=each + same))
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
        joined = [one for one in records(found.get("joined")) if one["groups"]]
        for one in records(found.get("named")):
            order = [(shown(code), f" ({name})" if name else "", count) for code, name, count in lists(one["top"])]
            text = self.say("named", one, order=self.names(f"{code}{name} {count}" for code, name, count in order))
            lines.append(text.replace("**", "") if any(other["asked"] for other in joined) else text)
        for pair in joined:
            rows = self._groups(pair["groups"], Want("groups"), "")
            amounts = self.names(f"`{name}` {shown(value)}" for name, value in lists(pair["without"]))
            rows += [self.say("unmatched", pair, amounts=amounts and f" ({amounts})")] if pair["lost"] else []
            if pair["asked"]:
                lines = [*(self.say("joined asked", pair) + line[2:] for line in rows[1:] or rows), *lines]
            else:
                lines += [self.say("joined", pair), *("  " + line for line in rows)]
        return "\n".join(lines) or self.say("strangers")

    def text(self, name: str, found: Record, query: str) -> str:
        """What a text holds."""
        lines = [self.say("text", found, name=name)]
        if isinstance(found["headings"], list) and found["headings"]:
            lines.append(self.say("headings", names=self.names(found["headings"])))
        if frequent := lists(found["keywords"]):
            lines.append(self.say("keywords", names=self.names(f"{word} ({count})" for word, count in frequent)))
        if not found["found"] and not general(query) and not words()["size"].search(query):
            lines.append(self.say("unsaid"))
        elif isinstance(found["absent"], list) and found["absent"]:
            lines.append(self.say("not in text", names=self.names(found["absent"])))
        lines += [self.say("occurs", word=word, count=count) for word, count in lists(found["quoted"])]
        if isinstance(found["sentences"], list) and found["sentences"]:
            lines += [self.say("sentences"), *(f"  > {one}" for one in found["sentences"])]
        return "\n".join(lines)

    def synthesis(self, results: tuple[Finding, ...], missing: tuple[str, ...], most: int) -> str:
        """One answer of all results, with what is missing and the sources, in at most so many tokens if it can be."""
        done = [one for one in results if one.status == "completed" and one.result.strip()]
        lost = [f"{one.title or one.task} ({one.status})" for one in results if one not in done]
        done = [one for one in done if not one.result.endswith(self.say("nothing more"))] or done[:1]
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
