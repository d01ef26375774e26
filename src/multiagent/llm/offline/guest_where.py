"""Which rows a question is about: conditions on columns, and words of the question that are cells of the table.

Runs in the sandbox, where the source of what a cell needs is part of the cell.
"""

import re
from collections.abc import Callable
from datetime import datetime

from multiagent.llm.offline.guest_stats import Found, rough, tally, tidy, total
from multiagent.llm.offline.guest_table import Table, number


def kept(table: Table, hits: list[bool]) -> Table:
    """Return the table of those rows."""
    cells = [[cell for cell, hit in zip(column, hits, strict=True) if hit] for column in table.cells]
    return Table(table.names, cells, table.point)


def among(table: Table, at: int, values: list[str], *, out: bool = False) -> Table:
    """Return the table of the rows whose cell is one of these, or is none of them."""
    low = {one.lower() for one in values}
    return kept(table, [(cell.lower() in low) != out for cell in table.cells[at]])


def compare(table: Table, at: int, sign: str, value: str) -> Table:
    """Return the table of the rows whose number compares so with a value; ValueError where these do not compare."""
    limit = number(value, table.point)
    if limit is None or table.kinds[at] not in {"int", "float"}:
        raise ValueError(table.names[at] + " has no numbers that compare with " + value)
    return kept(table, [one is not None and meets(one, sign, limit) for one in table.values(at)])


def on(table: Table, at: int, sign: str, value: str) -> Table:
    """Return the table of the rows whose date compares so with year-month-day, of which any part may be empty."""
    parts = [int(one or 0) for one in value.split("-")]
    weights = [weight * (part > 0) for part, weight in zip(parts, (10000, 100, 1), strict=True)]
    limit = parts[0] * 10000 + parts[1] * 100 + parts[2]
    hits: list[bool] = []
    for one in table.values(at):
        day = one and datetime.fromordinal(int(one))
        told = day and day.year * weights[0] + day.month * weights[1] + day.day * weights[2]
        hits.append(bool(told) and meets(told or 0, sign, limit))
    return kept(table, hits)


def meets(one: float, sign: str, limit: float) -> bool:
    """Tell whether a number compares so with a limit."""
    order = (one > limit) - (one < limit)
    return {"=": order == 0, "!=": order != 0, ">": order > 0, "<": order < 0, ">=": order >= 0, "<=": order <= 0}[sign]


def cited(table: Table, text: str) -> list[list[object]]:
    """Return the cells that a text mentions as whole words: column, cell, where it begins and ends there."""
    found: list[list[object]] = []
    low = text.lower()
    for at in table.of("text", "bool"):
        some = {one for one in set(table.cells[at]) - table.gaps[at] if one.lower() in low}
        for cell in sorted(some, key=lambda one: (-len(one), one)):
            form = r"(?<![A-Za-z0-9])" + re.escape(cell) + r"(?:'s|s)?(?![A-Za-z0-9])"
            hit = re.search(form, text, re.IGNORECASE if len(cell) > 2 else 0)
            if hit:
                found.append([table.names[at], cell, hit.start(), hit.end()])
                text = text[: hit.start()] + "◇" * len(hit[0]) + text[hit.end() :]
    years = list(re.finditer(r"(?<![\d.,-])(?:19|20)\d\d(?![\d.,-]*\d)", text))
    for at in table.of("int") if years else []:
        if all(one is None or 1900 <= one <= 2100 for one in table.values(at)):
            return found + [[table.names[at], hit[0], hit.start(), hit.end()] for hit in years]
    return found


def told(part: Table, call: Callable[[Table], object]) -> Found:
    """Return what a call finds in a part of a table, with its size."""
    return {"size": part.size, "found": call(part)}


def share(part: Table, whole: Table, of: list[int]) -> list[Found]:
    """Return how much of the whole's rows, or of the totals of columns, a part has."""
    pairs: list[tuple[str, float, float]] = []
    for at in [at for at in of if whole.kinds[at] in {"int", "float"}]:
        a, b = ([one for one in side.values(at) if one is not None] for side in (part, whole))
        pairs.append((whole.names[at], tidy(total(a)), tidy(total(b))))
    pairs = pairs or [("", part.size, whole.size)]
    return [{"of": name, "part": a, "whole": b, "percent": rough(100 * a / b) if b else "?"} for name, a, b in pairs]


def several(table: Table, picked: list[int]) -> list[Found]:
    """Return of columns whose cells list short codes how many rows list more than one."""
    listing = [at for at in table.of("text") if set(tally(table, at)) - set(table.cells[at])]
    fit = [at for at in listing if at in picked] or listing
    return [{"name": table.names[at], "rows": sum("," in cell for cell in table.cells[at])} for at in fit]
