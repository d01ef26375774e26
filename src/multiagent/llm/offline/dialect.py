"""Which dialect a table is written in, seen from its first lines."""

import itertools
import re
from collections import Counter

from multiagent.llm.offline.guest_table import COMMA, GAPS, GROUPED, body, iso, kind_of, last, split, worded

RUNS = r"re.sub(r' {2,}|\t+', '\t', line.strip())"
MARKS = ("\t", ";", "|", ",", "  ", " ")


def fit(lines: list[str], mark: str) -> float:
    """Score a mark from 0 to 3: rows of several cells, of one width, whose cells hold no other mark."""
    rows = [row for row in split(lines, mark) if row]
    cells = [cell.strip() for row in rows for cell in row]
    same = Counter(map(len, rows)).most_common(1)[0][1] if rows else 0
    clean = sum(not (set(cell) & set(",;|\t") - {mark}) or bool(COMMA.match(cell)) for cell in cells)
    wide = sum(len(row) > 1 for row in rows)
    return (wide + same) / len(rows) + clean / len(cells) if wide else 0.0


def heads(first: list[str], rest: list[list[str]], point: str) -> bool:
    """Tell whether the first row names the columns."""

    def typed(cell: str) -> bool:
        return kind_of({cell}, point) in {"int", "float", "date"} or cell.lower() in {"true", "false"}

    below = [[row[at] for row in rest if at < len(row) and row[at] not in GAPS] for at in range(len(first))]
    for cell, column in zip(first, below, strict=True):
        if column and cell not in GAPS and not typed(cell) and sum(map(typed, column)) > 0.7 * len(column):
            return True
    told = [cell for cell in first if typed(cell)]
    if told:
        return len(told) < len(first) and len(set(told)) > 1 and all(re.match(r"(19|20)\d\d$", cell) for cell in told)
    return len(set(first)) == len(first) and not any(cell in column for cell, column in zip(first, below, strict=True))


class Dialect:
    """How a table is written: its mark, decimal comma, column names, and how many leading lines are not data."""

    def __init__(self, lines: list[str], before: int = 0) -> None:
        """Sniff a sample of the file's lines, of which that many come before."""
        lines = [line.lstrip("\ufeff").rstrip("\r\n") for line in lines]
        told = re.match(r"(?i)sep=(.)$", lines[0]) if lines else None
        if told:
            lines[0] = "#"
        data = [line for line in lines if line.strip() and line[0] != "#"][:300]
        scores = {mark: fit(data, mark) for mark in MARKS}
        self.mark = max(MARKS, key=lambda mark: round(scores[mark], 2)) if any(scores.values()) else ","
        self.mark = told[1] if told and told[1] in MARKS else self.mark
        self.score = scores[self.mark]
        rows = [[cell.strip() for cell in row] for row in body(data, self.mark, 0)]
        cells = [cell for row in rows for cell in row]
        commas = [cell for cell in cells if COMMA.match(cell)]
        dots = sum(bool(re.fullmatch(r"[-+]?[\d,]*\.\d+", cell)) for cell in cells)
        decimal = [cell for cell in commas if not GROUPED.match(cell)] or (commas if self.mark == ";" else [])
        self.point = "," if len(decimal) > dots else "."
        self.width = max(map(len, rows), default=0)
        names = self._named(lines)
        self.skip = next((at for at, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
        if not names and rows:
            names = rows[0] if heads(rows[0], [row for row in rows[1:] if len(row) <= self.width], self.point) else []
            self.skip += bool(names)
        self.data = rows[1:] if names and self.skip and not self._named(lines) else rows
        self.skip += before
        names = names + [""] * (self.width - len(names))
        again = [names[:at].count(name) + 1 for at, name in enumerate(names)]
        names = [f"{name} ({time})" if name and time > 1 else name for name, time in zip(names, again, strict=True)]
        self.names = [name or f"column {at}" for at, name in enumerate(names, 1)]
        self.kinds = [
            kind_of({row[at] for row in self.data if at < len(row)}, self.point) for at in range(len(self.names))
        ]

    def _named(self, lines: list[str]) -> list[str]:
        """Return the names in the last comment before the data, where it has as many as the data has columns."""
        before = list(itertools.takewhile(lambda line: not line.strip() or line[0] == "#", lines))
        told = [line[1:] for line in before if line.strip()]
        row = next(split(told[-1:], self.mark), []) if told else []
        names = [cell.strip() for cell in row if cell.strip()]
        return names if len(names) == self.width > 1 else []

    @property
    def arguments(self) -> str:
        """What `load` of the guest needs to know, as Python arguments."""
        told = [repr(self.mark), str(self.skip), repr(self.names)]
        return ", ".join([*told, repr(self.point)] if self.point == "," else told)

    @property
    def simpler(self) -> dict[str, str]:
        """Guest functions and values that this table can do without, each with what is enough."""
        places = [at for at, kind in enumerate(self.kinds) if kind == "date"]
        dates = [row[at] for row in self.data for at in places if at < len(row)]
        found = simpler(self.kinds, dates)
        if self.mark != "|" and not any(row[0].startswith("#") for row in self.data):
            line, mark = {"  ": (RUNS, "\t"), " ": ("line.strip()", " ")}.get(self.mark, ("line", self.mark))
            kept = f"({line} for line in lines if line.strip() and line[0] != '#')"
            found["body"] = f"lambda lines, mark, width: csv.reader({kept}, delimiter={mark!r}, skipinitialspace=True)"
        return found


def simpler(kinds: list[str], dates: list[str]) -> dict[str, str]:
    """Return what is enough for columns of these kinds with dates like these."""
    found = {} if len(kinds) > 30 else {"show": "lambda found: print(json.dumps(found, ensure_ascii=False))"}
    if "bool" not in kinds:
        found["BOOLS"] = "()"
    known = [one for one in dates if one not in GAPS]
    if "date" in kinds and not known:
        return found
    for name, way in (("iso", iso), ("worded", worded), ("last", last)):
        if all(way(cell) or way(cell, 1) for cell in known):
            found["moment"] = name if known else "lambda *_: None"
            if name != "last":
                found["dated"] = "lambda column: [moment(cell) for cell in column]"
            break
    return found
