"""Reading a table of unknown dialect.

Runs in the sandbox, where the source of what a cell needs is part of the cell, and here, on the heads of attachments.
"""

import csv
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

EMPTY = re.split(" ", " na n/a nan NaN null none nil - -- ? missing #n/a #N/A 无 缺失 空")
GAPS = frozenset(form for one in EMPTY for form in (one, one.upper(), one.capitalize()))
PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
DOTTED = re.compile(r"[-+]?\d{1,3}(\.\d{3})+$")
SIGNS = re.compile("[$€£¥₹%]")
GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?$")
COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+$")
TIME = r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$"
YEAR_FIRST = re.compile(r"(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?|月)?" + TIME)
YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + TIME)
NAMED = re.compile(r"(?:(\d{1,2})[ -])?([A-Za-z]{3})[a-z]*\.?(?:[ -](\d{1,2}),)?[ -](\d{4})$")
MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
BOOLS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"是", "否"})


def number(cell: str, point: str = ".") -> float | None:
    """Return the number a cell holds: plain, grouped, with a currency or percent sign, with a decimal comma, or in an
    accountant's parentheses, which make it negative.
    """
    text = SIGNS.sub("", cell).replace("\u2212", "-").strip()
    if text[:1] == "(" and text[-1:] == ")":
        text = "-" + text[1:-1].strip()
    if point == "," and (COMMA.match(text) or DOTTED.match(text)):
        text = text.replace(".", "").replace(",", ".")
    elif GROUPED.match(text):
        text = text.replace(",", "")
    if not PLAIN.match(text):
        return None
    value = float(text)
    return None if value - value else value if text.strip("+-0123456789") else int(text)


def numbers(cells: list[str], point: str) -> list[float | None]:
    """Return the number that each cell holds, whole ones exact; None where it holds none."""
    try:
        return list(map(int, cells))
    except ValueError:
        try:
            found = [] if point == "," else list(map(float, cells))
        except ValueError:
            found = []
    return [one if math.isfinite(one) else None for one in found] or [number(cell, point) for cell in cells]


def iso(cell: str, _day: int = 2) -> float | None:
    """Return the days since the year 1 of a date, or date and time, that begins with its year."""
    return days(*hit.groups()) if (hit := YEAR_FIRST.match(cell)) else None


def last(cell: str, day: int = 2) -> float | None:
    """Return the same of a date that ends in its year, in digits."""
    hit = YEAR_LAST.match(cell)
    return days(hit[3], hit[3 - day], hit[day], *hit.groups()[3:]) if hit else None


def worded(cell: str, _day: int = 2) -> float | None:
    """Return the same of a date with its month's English name."""
    hit = NAMED.match(cell)
    at = MONTHS.find(hit[2].lower()) if hit else 1
    return days(hit[4], str(at // 3 + 1), hit[1] or hit[3]) if hit and at % 3 == 0 else None


def moment(cell: str, day: int = 2) -> float | None:
    """Return the same of a date however it is written."""
    return iso(cell) or last(cell, day) or worded(cell)


def days(year: str, month: str, day: str | None, *clock: str | None) -> float | None:
    """Return a day's number, with the part of the day that has passed."""
    try:
        hour, minute, second = (int(one or 0) for one in (*clock, "", "", "")[:3])
        when = datetime(int(year), int(month), int(day or 1), hour, minute, second)  # noqa: DTZ001 - a table says no zone
    except ValueError:
        return None
    return when.toordinal() + (when.hour * 60 + when.minute + when.second / 60) / 1440


def dated(column: list[str]) -> list[float | None]:
    """Return a column of dates as days; the day comes first where no other reading fits, or dots divide."""
    parts = [hit for cell in column if (hit := YEAR_LAST.match(cell))]
    first = any(int(hit[1]) > 12 for hit in parts) or any("." in hit[0][:3] for hit in parts)
    return [moment(cell, 1 if first else 2) for cell in column]


def missing(values: set[str], kind: str = "text") -> set[str]:
    """Return those of a column's distinct cells that stand for no value.

    A code that looks like all others of its column (NA among two-letter codes) is a value.
    """
    found = values & GAPS
    if kind != "text" or not any(map(str.isalpha, found)):
        return found
    rest = {(len(part), part.isupper()) for one in values - found for part in one.split(",")}
    return {one for one in found if not one.isalpha() or {(len(one), one.isupper())} != rest}


def kind_of(values: set[str], point: str = ".") -> str:
    """Return the type of a column's distinct cells, gaps aside: int, float, bool, date, text or empty; or mixed, where
    numbers are in several currencies, or only some of them percentages.
    """
    known = list(values - GAPS)
    found = [one for one in numbers(known, point) if one is not None]
    if known and len(found) >= 0.9 * len(known):
        text = "\n".join(known)
        units = {"".join(SIGNS.findall(cell)) for cell in known} if SIGNS.search(text) else {""}
        mixed = len(units - {""}) > 1 or {"", "%"} <= units
        whole = "." not in text and all(one == int(one) for one in found)
        return "mixed" if mixed else "text" if re.search(r"(?m)^0\d+$", text) else "int" if whole else "float"
    if known and len(known) < 7 and any({one.lower() for one in known} <= pair for pair in BOOLS):
        return "bool"
    dates = sum(bool(moment(cell) or moment(cell, 1)) for cell in known[:5000])
    return "empty" if not known else "date" if dates >= 0.9 * len(known[:5000]) else "text"


def split(lines: Iterable[str], mark: str) -> Iterator[list[str]]:
    """Split lines at a mark; two spaces stand for runs of at least two, one space for runs of any length."""
    if mark == "  ":
        lines, mark = (re.sub(r" {2,}|\t+", "\t", line.strip()) for line in lines), "\t"
    elif mark == " ":
        lines = (line.strip().replace("\t", " ") for line in lines)
    elif mark == "|":
        lines = (one[1:-1] if len(one) > 2 and one[0] == one[-1] == "|" else one for one in map(str.strip, lines))
    return csv.reader(lines, delimiter=mark, skipinitialspace=True)


def body(lines: Iterable[str], mark: str, width: int) -> Iterator[list[str]]:
    """Yield the rows of a table as wide as that or unlike, without empty lines, comments and rules."""

    def counts(line: str) -> bool:
        if line[0] != "#":
            return bool(line.strip())
        return width > 1 and line[1:2] not in " #\r\n" and len(next(split([line], mark))) == width

    for row in split(filter(counts, lines), mark):
        if mark != "|" or not all(re.match(r":?-+:?$", cell.strip()) for cell in row):
            yield row


def peek(path: str) -> dict[str, object]:
    """Return a file's first lines of data with the last comment before them, and how many lines come before those."""
    lines = read(path, 60000).splitlines()
    first = next((at for at, line in enumerate(lines) if line.strip() and line[0] != "#"), 0)
    before = max(0, first - 1)
    longest = max(map(len, lines[before : before + 40]), default=0)
    return {"before": before, "lines": lines[before : before + max(4, min(40, 9000 // (longest + 1)))]}


class Table:
    """Cells by column, as text; the kinds of columns; which cells are gaps."""

    def __init__(self, names: list[str], cells: list[list[str]], point: str = ".") -> None:
        self.names, self.cells, self.point = names, cells, point
        distinct = list(map(set, cells))
        self.kinds = [kind_of(one, point) for one in distinct]
        self.gaps = [missing(seen, kind) for seen, kind in zip(distinct, self.kinds, strict=True)]
        self.size = len(cells[0]) if cells else 0
        self._values: dict[int, list[float | None]] = {}

    def at(self, name: str) -> int:
        """Return the place of the column of that name; ValueError where there is none."""
        return self.names.index(name)

    def of(self, *kinds: str) -> list[int]:
        """Return the places of the columns of these kinds."""
        return [at for at, kind in enumerate(self.kinds) if kind in kinds]

    def values(self, at: int) -> list[float | None]:
        """Return a column as numbers, dates as days; None where a cell has none."""
        if at not in self._values:
            gaps, cells = self.gaps[at], self.cells[at]
            known = [cell for cell in cells if cell not in gaps] if gaps else cells
            found = dated(known) if self.kinds[at] == "date" else numbers(known, self.point)
            rest = iter(found)
            self._values[at] = [None if cell in gaps else next(rest) for cell in cells] if gaps else found
        return self._values[at]


def encoding(start: bytes) -> str:
    """Return the likely encoding of a text that starts with these bytes."""
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    try:
        start[: start.rfind(b"\n")].decode()
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def load(path: str, mark: str, skip: int, names: list[str], point: str = ".", limit: int = 0) -> Table:
    """Read a delimited text file of these columns past its first lines; ``limit`` > 0 reads that many rows."""
    with open(path, "rb") as raw:  # noqa: PTH123 - code for the sandbox, written small
        coded = encoding(raw.read(60000))
    cells: list[list[str]] = [[] for _ in names]
    with open(path, encoding=coded, errors="replace", newline="") as file:  # noqa: PTH123 - code for the sandbox, written small
        rows = itertools.islice(body(itertools.islice(file, skip, None), mark, len(names)), limit or None)
        while chunk := list(itertools.islice(rows, 5000)):
            chunk[0] += [""] * (len(names) - len(chunk[0]))
            for column, some in zip(cells, itertools.zip_longest(*chunk, fillvalue=""), strict=False):
                column.extend(map(str.strip, some))
    return Table(names, cells, point)


def read(path: str, most: int = -1) -> str:
    """Return a text file's text, or the beginning of it, whatever its encoding."""
    with open(path, "rb") as raw:  # noqa: PTH123 - code for the sandbox, written small
        data = raw.read(most)
    return data.decode(encoding(data[:60000]), "replace")


def show(found: object) -> None:
    """Print as one line of JSON, with long lists cut so that it stays small enough to be read whole."""
    text = ""
    for most in (60, 30, 13, 6, 3):
        text = json.dumps(shorter(found, most), ensure_ascii=False, separators=(",", ":"))
        if len(text) < 11000:
            break
    print(text)  # noqa: T201 - what a cell prints is its answer


def shorter(value: object, most: int) -> object:
    """Return a value with its lists cut."""
    if isinstance(value, dict):
        return {key: shorter(one, most) for key, one in value.items()}
    return [shorter(one, most) for one in value[:most]] if isinstance(value, list | tuple) else value


def attempt(call: Callable[[], object]) -> object:
    """Return what a call answers, or its error as a record."""
    try:
        return call()
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        return {"error": (type(error).__name__ + ": " + str(error))[:200]}


def records(path: str, limit: int = 0) -> Table | None:
    """Read JSON, or a JSON value a line, that is a list of objects, alone or under a key; None where it is not."""
    text = read(path)
    try:
        found = json.loads(text)
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    lists = [one for one in found.values() if isinstance(one, list)] if isinstance(found, dict) else [found]
    rows = [one for one in lists[0] if isinstance(one, dict)][: limit or None] if len(lists) == 1 else []
    names = list(dict.fromkeys(name for one in rows for name in one))
    cells = [["" if one.get(name) is None else one[name] for one in rows] for name in names]
    texts = [
        [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in column] for column in cells
    ]
    return Table(names, texts) if rows else None
