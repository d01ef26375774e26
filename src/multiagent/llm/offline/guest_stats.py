"""What can be found in a table: each function answers with plain values that print as JSON.

Runs in the sandbox, where the source of what a cell needs is part of the cell. Rows count from 1, without the header.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations

from multiagent.llm.offline.guest_table import Table, moment, number

Found = dict[str, object]


def tidy(value: float) -> float | int:
    """Round to four decimals, small values to four significant digits, whole numbers to int."""
    if abs(value) < 1e15 and value == int(value):
        return int(value)
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")


def known(table: Table, at: int) -> list[tuple[int, float]]:
    """Return (row, value) of a column's readable numbers."""
    return [(row, value) for row, value in enumerate(table.values(at), 1) if value is not None]


def numeric(table: Table, picked: list[int]) -> list[int]:
    """Return the picked columns that are numeric, or else all that are and do not just number the rows."""
    chosen = [at for at in picked if table.kinds[at] in {"int", "float"}]
    every = table.of("int", "float")
    return chosen or [at for at in every if not counts_rows(table, at)] or every


def counts_rows(table: Table, at: int) -> bool:
    """Tell whether a column of whole numbers goes up or down by one from row to row."""
    values = table.values(at)
    first = values[0] if values else None
    return table.kinds[at] == "int" and first is not None and values in [
        [first + way * row for row in range(table.size)] for way in (1, -1)
    ]  # fmt: skip


def grouping(table: Table) -> list[int]:
    """Return the columns with few distinct values, or else those with values in lists or repeated."""
    sizes = {at: Counter(shares(table, at)) for at in table.of("text", "bool")}
    fit = [at for at, one in sizes.items() if 1 < len(one) < 0.8 * sum(one.values()) + 1]
    return [at for at in fit if len(sizes[at]) <= 60] or fit


def shares(table: Table, at: int) -> list[str]:
    """Return a column's values; where most letters come in comma-separated lists, each part counts for itself."""
    cells = [cell for cell in table.cells[at] if cell not in table.gaps[at]]
    parts = [cell.split(",") for cell in cells]
    several = [one for one in parts if len(one) > 1]
    if several and all(re.match(r"[^\s,]{1,12}$", part) for one in parts for part in one):
        return [part for one in parts for part in one]
    return cells


def keep(table: Table, at: int, sign: str, value: str) -> Table:
    """Return the table of the rows whose cell compares so with a value: = != > < >= <=."""
    limit = moment(value) if table.kinds[at] == "date" else number(value, table.comma)
    tests = {
        "=": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b,
        "<": lambda a, b: a < b, ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b,
    }  # fmt: skip
    if limit is not None and table.kinds[at] in {"int", "float", "date"}:
        hits = [one is not None and tests[sign](one, limit) for one in table.values(at)]
    else:
        hits = [tests[sign](cell.lower(), value.lower()) for cell in table.cells[at]]
    cells = [[cell for cell, hit in zip(column, hits, strict=True) if hit] for column in table.cells]
    kept = Table(table.names, cells, table.comma)
    kept.kinds, kept.gaps = table.kinds, table.gaps
    return kept


def profile(table: Table) -> Found:
    """Return rows, columns with kind, gaps, distinct values, range or most frequent value, and duplicate rows."""
    columns: list[Found] = []
    for at, (name, kind) in enumerate(zip(table.names, table.kinds, strict=True)):
        counts = Counter(table.cells[at])
        gaps = sum(counts.pop(one, 0) for one in table.gaps[at])
        one: Found = {"name": name, "kind": kind, "missing": gaps, "distinct": len(counts)}
        if kind in {"int", "float"}:
            values = [value for _, value in known(table, at)] or [0.0]
            mean = math.fsum(values) / len(values)
            one |= {"min": tidy(min(values)), "max": tidy(max(values)), "mean": tidy(mean)}
        elif kind == "date":
            days = [(value, table.cells[at][row - 1]) for row, value in known(table, at)]
            one |= {"first": min(days)[1], "last": max(days)[1]}
        columns.append(one)
    return {"rows": table.size, "width": len(columns), "columns": columns}


def duplicates(table: Table) -> Found:
    """Return how many rows repeat an earlier row."""
    rows = Counter(zip(*table.cells, strict=True))
    return {"rows": table.size, "repeated": table.size - len(rows)}


def distinct(table: Table, picked: list[int]) -> list[Found]:
    """Return the number of distinct values of columns, and the values where they are few."""
    found: list[Found] = []
    for at in picked or range(len(table.names)):
        values = list(dict.fromkeys(shares(table, at)))
        found.append(
            {"name": table.names[at], "distinct": len(values), "values": values[:12] if len(values) < 13 else []}
        )
    return found


def sums(table: Table, picked: list[int]) -> list[Found]:
    """Return count, sum, mean, median, min, max and sample deviation of numeric columns."""
    found: list[Found] = []
    for at in numeric(table, picked):
        values = [value for _, value in known(table, at)]
        if values:
            total = math.fsum(values)
            found.append({
                "name": table.names[at], "count": len(values), "sum": tidy(total), "mean": tidy(total / len(values)),
                "median": tidy(statistics.median(values)), "min": tidy(min(values)), "max": tidy(max(values)),
                "deviation": tidy(statistics.stdev(values)) if len(values) > 1 else 0,
            })  # fmt: skip
    return found


def groups(table: Table, by: list[int], of: list[int], most: int = 12, extremes: bool = False) -> list[Found]:
    """Return per grouping column the groups by size, and by total, mean and extremes of numeric columns."""
    found: list[Found] = []
    ways: dict[str, Callable[[list[float]], float]] = {
        "total": math.fsum,
        "mean": lambda some: math.fsum(some) / len(some),
    }
    for key in (by or grouping(table))[:4]:
        sizes = Counter(shares(table, key))
        plain = set(sizes) <= set(table.cells[key])
        one: Found = {
            "by": table.names[key],
            "groups": len(sizes),
            "sizes": ranked(dict(sizes), most),
            "several": not plain,
        }
        measured: list[Found] = []
        for at in [at for at in numeric(table, of) if at != key and plain][:6]:
            values: dict[str, list[float]] = {}
            for row, value in known(table, at):
                values.setdefault(table.cells[key][row - 1], []).append(value)
            filled = {cell: some for cell, some in values.items() if cell in sizes}
            told = ways | ({"max": max, "min": min} if extremes else {})
            results = {
                name: ranked({cell: way(some) for cell, some in filled.items()}, most) for name, way in told.items()
            }
            measured.append({"of": table.names[at], **results})
        found.append(one | {"values": measured})
    return found


def ranked(numbers: Mapping[str, float], most: int) -> list[list[object]]:
    """Return [name, number] from the largest on; of many, only the first ones and the last."""
    order = sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
    return [[name, tidy(value)] for name, value in order[: most - 1] + order[most - 1 :][-1:]]


def line(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return Pearson's coefficient and the least-squares slope of pairs; zeros where a side does not vary."""
    left, right = (math.fsum(pair[side] for pair in pairs) / max(1, len(pairs)) for side in (0, 1))
    both = math.fsum((a - left) * (b - right) for a, b in pairs)
    wide, high = math.fsum((a - left) ** 2 for a, _ in pairs), math.fsum((b - right) ** 2 for _, b in pairs)
    return (both / math.sqrt(wide * high), both / wide) if len(pairs) > 2 and wide * high > 0 else (0.0, 0.0)


def ranks(values: list[float]) -> list[float]:
    """Return the rank of each value, equal values sharing the mean of theirs."""
    order = sorted(values)
    first: dict[float, int] = {}
    for at, value in enumerate(order):
        first.setdefault(value, at)
    count = Counter(order)
    return [first[value] + (count[value] - 1) / 2 for value in values]


def by_ranks(pairs: list[tuple[float, float]]) -> float:
    """Return Spearman's coefficient of pairs, of every so-manieth where they are many."""
    few = pairs[:: len(pairs) // 2000 + 1]
    return line(list(zip(ranks([a for a, _ in few]), ranks([b for _, b in few]), strict=True)))[0]


def correlate(table: Table) -> Found:
    """Return the pairs of numeric columns by Pearson's coefficient, strongest first, and the strongest by ranks."""
    found: list[tuple[float, float, str, str]] = []
    for a, b in combinations(numeric(table, []), 2):
        pairs = [
            (x, y) for x, y in zip(table.values(a), table.values(b), strict=True) if x is not None and y is not None
        ]
        if r := line(pairs)[0]:
            found.append((abs(by_ranks(pairs)), tidy(r), table.names[a], table.names[b]))
    found.sort(key=lambda one: -abs(one[1]))
    return {"pairs": [one[1:] for one in found[:60]], "by_rank": max(found)[1:] if found else []}


def outliers(table: Table) -> list[Found]:
    """Return per numeric column the values far from the rest, farthest first.

    Modified z-score (Iglewicz and Hoaglin 1993): the distance to the median over the median absolute deviation / 0.6745,
    or 1.2533 times the mean one where that is zero. Values over 3.5 count.
    """
    found: list[Found] = []
    for at in table.of("int", "float"):
        cells = known(table, at) or [(0, 0.0)]
        middle = statistics.median(value for _, value in cells)
        away = [abs(value - middle) for _, value in cells]
        spread = statistics.median(away) / 0.6745 or math.fsum(away) / len(away) * 1.2533 or 1
        far = sorted((-abs(value - middle) / spread, row, value) for row, value in cells)[:4]
        far = [one for one in far if one[0] < -6] or [one for one in far if one[0] < -3.5][:2]
        rows = [[row, tidy(value)] for _, row, value in far]
        found.append({"name": table.names[at], "rows": rows, "median": tidy(middle)})
    return found


def trend(table: Table, picked: list[int]) -> list[Found]:
    """Return how numeric columns develop along the first date column, a column that goes up, or the rows."""
    rows = list(range(1, table.size + 1))
    steady = [
        at for at in table.of("int") if table.values(at) == sorted({one for one in table.values(at) if one is not None})
    ]
    times = table.of("date") + steady
    time = ([at for at in times if at in picked] or times or [-1])[0]
    found: list[Found] = []
    for at in numeric(table, [one for one in picked if one != time]):
        axis = table.values(time) if time >= 0 else rows
        pairs = sorted((x, y) for x, y in zip(axis, table.values(at), strict=True) if x is not None and y is not None)
        size = len(pairs) // 200 + 1
        middles = [statistics.median(y for _, y in pairs[start : start + size]) for start in range(0, len(pairs), size)]
        rho = by_ranks(list(enumerate(middles)))
        clear = abs(rho) >= max(0.3, 2.6 / math.sqrt(len(middles) + 1))
        if at != time:
            found.append({
                "name": table.names[at], "along": table.names[time] if time >= 0 else "", "slope": tidy(line(pairs)[1]),
                "unit": "day" if time >= 0 and table.kinds[time] == "date" else "step", "strength": abs(rho),
                "even": {round(b[0] - a[0], 9) for a, b in zip(pairs, pairs[1:], strict=False)} == {1.0},
                "direction": ("up" if rho > 0 else "down") if clear else "flat",
            })  # fmt: skip
    return found


def top(table: Table, picked: list[int], count: int, largest: bool) -> list[Found]:
    """Return the rows with the largest or smallest values of numeric columns, with the row's first text as a label."""
    labels = [at for at in picked if table.kinds[at] == "text"] or table.of("text") or table.of("date")
    found: list[Found] = []
    for at in numeric(table, picked)[:6]:
        order = sorted(known(table, at), key=lambda pair: (-pair[1] if largest else pair[1], pair[0]))[:count]
        label = table.cells[labels[0]] if labels else [""] * table.size
        rows = [[row, label[row - 1], tidy(value)] for row, value in order]
        found.append({"name": table.names[at], "label": table.names[labels[0]] if labels else "", "rows": rows})
    return found


def gaps(table: Table, picked: list[int]) -> Found:
    """Return how many cells are missing, by column."""
    counts = [
        (table.names[at], sum(cell in table.gaps[at] for cell in table.cells[at])) for at in range(len(table.names))
    ]
    chosen = [table.names[at] for at in picked]
    return {"total": sum(count for _, count in counts), "columns": counts, "picked": chosen, "rows": table.size}
