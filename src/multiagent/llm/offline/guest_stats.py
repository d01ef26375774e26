"""What can be found in a table: each function answers with plain values that print as JSON.

Runs in the sandbox, where the source of what a cell needs is part of the cell. Rows count from 1, without the header.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise

from multiagent.llm.offline.guest_table import Table, moment, number

Found = dict[str, object]
Numbers = list[float]
Ways = dict[str, Callable[[Numbers], float]]


def tidy(value: float) -> float | int:
    """Round to four decimals, small values to four significant digits, whole numbers to int."""
    if abs(value) < 1e15 and value == int(value):
        return int(value)
    return round(value, 4) if abs(value) >= 0.1 else float(format(value, ".4g"))


def known(table: Table, at: int) -> list[tuple[int, float]]:
    """Return (row, value) of a column's readable numbers."""
    return [(row, value) for row, value in enumerate(table.values(at), 1) if value is not None]


def numeric(table: Table, picked: list[int]) -> list[int]:
    """Return the picked columns that are numeric, or else all that are and do not just number the rows."""
    every = table.of("int", "float")
    return [at for at in picked if at in every] or [at for at in every if not counts(table, at)] or every


def counts(table: Table, at: int) -> bool:
    """Tell whether a column holds consecutive whole numbers, in whatever order."""
    values = sorted(value for value in table.values(at) if value is not None)
    return len(values) > 1 and values[-1] - values[0] == table.size - 1 == len(set(values)) - 1


def tally(table: Table, at: int) -> Counter[str]:
    """Return how often a column has each value; where cells hold lists of short codes, each code counts for itself."""
    sizes = Counter(table.cells[at])
    for gap in table.gaps[at]:
        del sizes[gap]
    if table.kinds[at] != "text" or not any("," in one for one in sizes):
        return sizes
    parts: Counter[str] = Counter()
    for cell, count in sizes.items():
        for part in cell.split(","):
            parts[part] += count
    return parts if all(re.match(r"[^\s,]{1,12}$", one) for one in parts) else sizes


def grouping(table: Table) -> list[int]:
    """Return the text columns with few distinct values, or else those whose values come back."""
    sizes = {at: tally(table, at) for at in table.of("text", "bool")}
    fit = [at for at, one in sizes.items() if 1 < len(one) < 0.8 * sum(one.values()) + 1]
    return [at for at in fit if len(sizes[at]) <= 60] or fit


def keep(table: Table, at: int, sign: str, value: str) -> Table:
    """Return the table of the rows whose cell compares so with a value: = != > < >= <=."""
    kind = table.kinds[at]
    limit = moment(value) if kind == "date" else number(value, table.point) if kind in {"int", "float"} else None
    ways = {"=": (0,), "!=": (-1, 1), ">": (1,), "<": (-1,), ">=": (0, 1), "<=": (-1, 0)}[sign]
    if limit is None:
        hits = [(cell.lower() == value.lower()) == (0 in ways) for cell in table.cells[at]]
    else:
        hits = [one is not None and (one > limit) - (one < limit) in ways for one in table.values(at)]
    return Table(
        table.names, [[c for c, hit in zip(cells, hits, strict=True) if hit] for cells in table.cells], table.point
    )


def profile(table: Table) -> Found:
    """Return the rows, how many repeat another, and of columns the kind, gaps, distinct values, and statistics."""
    columns: list[Found] = []
    for at, kind in enumerate(table.kinds):
        seen = Counter(table.cells[at])
        gaps = sum(seen.pop(one, 0) for one in table.gaps[at])
        one: Found = {"name": table.names[at], "kind": kind, "missing": gaps, "distinct": len(seen)}
        column = known(table, at) if kind == "date" else []
        values = [value for value in table.values(at) if value is not None] if kind in {"int", "float"} else []
        if column:
            one |= {"first": table.cells[at][min(column, key=lambda pair: pair[1])[0] - 1]}
            one |= {"last": table.cells[at][max(column, key=lambda pair: pair[1])[0] - 1]}
        elif values:
            ways: Ways = {
                "sum": math.fsum,
                "mean": statistics.fmean,
                "median": statistics.median,
                "min": min,
                "max": max,
            }
            one |= {name: tidy(way(values)) for name, way in ways.items()}
            mean = statistics.fmean(values)
            spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
            one |= {"count": len(values), "deviation": tidy(spread)}
        columns.append(one)
    repeated = table.size - len(set(zip(*table.cells, strict=True)))
    return {"rows": table.size, "width": len(columns), "repeated": repeated, "columns": columns}


def groups(table: Table, by: list[int], of: list[int], most: int = 12, *, extremes: bool = False) -> list[Found]:
    """Return per grouping column the groups by size, and by total, mean and extremes of numeric columns."""
    found: list[Found] = []
    ways: Ways = {"total": math.fsum, "mean": statistics.fmean}
    if extremes:
        ways |= {"max": max, "min": min}
    for key in (by or grouping(table))[:4]:
        sizes = tally(table, key)
        members: dict[str, list[int]] = {cell: [] for cell in sizes if cell in table.cells[key]}
        for row, cell in enumerate(table.cells[key]):
            if cell in members:
                members[cell].append(row)
        plain = len(members) == len(sizes)
        values: list[Found] = []
        for at in [at for at in numeric(table, of) if at != key and plain][:8]:
            column = table.values(at)
            parts = {cell: [one for row in rows if (one := column[row]) is not None] for cell, rows in members.items()}
            told = {cell: some for cell, some in parts.items() if some}
            values.append({"of": table.names[at]})
            values[-1] |= {
                name: ranked({cell: way(some) for cell, some in told.items()}, most) for name, way in ways.items()
            }
        sizes_told = {"groups": len(sizes), "sizes": ranked(sizes, most), "several": not plain}
        found.append({"by": table.names[key], **sizes_told, "values": values})
    return found


def ranked(numbers: Mapping[str, float], most: int) -> list[list[object]]:
    """Return [name, number] from the largest on; of many, the first ones and the last, unnamed where it is shared."""
    order = sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = order[most - 1 :][-1:]
    if rest and order[-2][1] == rest[0][1]:
        rest = [("", rest[0][1])]
    return [[name, tidy(value)] for name, value in order[: most - 1] + rest]


def line(xs: Numbers, ys: Numbers) -> tuple[float, float]:
    """Return Pearson's coefficient and the least-squares slope of pairs; zeros where a side does not vary."""
    if len(xs) < 3:
        return 0.0, 0.0
    sides = [[one - middle for one in side] for side in (xs, ys) for middle in [statistics.fmean(side)]]
    both, wide, high = (math.fsum(map(float.__mul__, sides[a], sides[b])) for a, b in ((0, 1), (0, 0), (1, 1)))
    return (both / math.sqrt(wide * high), both / wide) if wide * high > 0 else (0.0, 0.0)


def by_ranks(xs: Numbers, ys: Numbers) -> float:
    """Return Spearman's coefficient of pairs, of every so-manieth where they are many."""
    sides: list[Numbers] = []
    for side in (xs, ys):
        values = side[:: len(side) // 2000 + 1]
        seen = Counter(values)
        first: dict[float, int] = {}
        for at, value in enumerate(sorted(values)):
            first.setdefault(value, at)
        sides.append([first[value] + seen[value] / 2 for value in values])
    return line(*sides)[0]


def paired(left: list[float | None], right: list[float | None]) -> tuple[Numbers, Numbers]:
    """Return both sides where neither is missing."""
    if None not in left and None not in right:
        return [x for x in left if x is not None], [y for y in right if y is not None]
    kept = [(x, y) for x, y in zip(left, right, strict=True) if x is not None and y is not None]
    return [x for x, _ in kept], [y for _, y in kept]


def correlate(table: Table) -> Found:
    """Return the pairs of numeric columns by Pearson's coefficient, strongest first, and the strongest by ranks."""
    found: list[tuple[float, float, str, str]] = []
    for a, b in combinations(numeric(table, [])[:30], 2):
        xs, ys = paired(table.values(a), table.values(b))
        found.append((abs(by_ranks(xs, ys)), tidy(line(xs, ys)[0]), table.names[a], table.names[b]))
    found = sorted((one for one in found if one[1]), key=lambda one: -abs(one[1]))
    return {"pairs": [one[1:] for one in found[:60]], "by_rank": max(found)[1:] if found else []}


def outliers(table: Table) -> list[Found]:
    """Return per numeric column the values far from the rest, farthest first.

    Modified z-score (Iglewicz and Hoaglin 1993): the distance to the median over the median absolute deviation, itself
    over 0.6745, or 1.2533 times the mean one where that is zero. Values over 3.5 count.
    """
    found: list[Found] = []
    for at in table.of("int", "float"):
        column = table.values(at)
        values = [value for value in column if value is not None] or [0.0]
        middle = statistics.median(values)
        away = [abs(value - middle) for value in values]
        spread = statistics.median(away) / 0.6745 or statistics.fmean(away) * 1.2533 or 1
        cells = ((row, value) for row, value in enumerate(column, 1) if value is not None)
        far = sorted((-abs(value - middle), row, value) for row, value in cells if abs(value - middle) > 3.5 * spread)[
            :4
        ]
        far = [one for one in far if one[0] < -6 * spread] or far[:2]
        rows = [[row, tidy(value)] for _, row, value in far]
        found.append({"name": table.names[at], "rows": rows, "median": tidy(middle)})
    return found


def steady(table: Table, picked: list[int]) -> int:
    """Return the column of dates, or of whole numbers that count or only go up, that time runs along; -1: the rows."""
    goes = {at: [value for _, value in known(table, at)] for at in table.of("int")}
    up = [at for at, one in goes.items() if counts(table, at) or (one == sorted(one) and len(set(one)) > 2)]
    times = table.of("date") + up
    return ([at for at in times if at in picked] or times or [-1])[0]


def trend(table: Table, picked: list[int], time: int, *, slopes: bool = False) -> list[Found]:
    """Return how numeric columns develop along a column, or the rows where it is -1; slopes where steps are of one."""
    axis = table.values(time) if time >= 0 else [float(row) for row in range(1, table.size + 1)]
    order = [x or 0.0 for x in axis]
    rows = sorted((row for row, x in enumerate(axis) if x is not None), key=order.__getitem__)
    told = slopes or all(round(order[b] - order[a], 9) == 1 for a, b in pairwise(rows))
    found: list[Found] = []
    for at in [at for at in numeric(table, [one for one in picked if one != time]) if at != time]:
        column = table.values(at)
        ys = [y for row in rows if (y := column[row]) is not None]
        size = len(ys) // 200 + 1
        middles = [statistics.median(ys[start : start + size]) for start in range(0, len(ys), size)]
        rho = by_ranks([float(one) for one in range(len(middles))], middles)
        clear = abs(rho) >= max(0.3, 2.6 / math.sqrt(len(middles) + 1))
        one: Found = {"name": table.names[at], "along": table.names[time] if time >= 0 else "", "strength": abs(rho)}
        if told and clear:
            one["slope"] = tidy(line([order[row] for row in rows if column[row] is not None], ys)[1])
            one["unit"] = "day" if time >= 0 and table.kinds[time] == "date" else "step"
        found.append(one | {"direction": ("up" if rho > 0 else "down") if clear else "flat"})
    return found


def top(table: Table, picked: list[int], most: int, *, largest: bool) -> list[Found]:
    """Return the rows with the largest or smallest values of numeric columns, with the row's first text as a label."""
    labels = [at for at in picked if table.kinds[at] == "text"] or table.of("text") or table.of("date")
    found: list[Found] = []
    for at in numeric(table, picked)[:6]:
        order = sorted(known(table, at), key=lambda pair: (-pair[1] if largest else pair[1], pair[0]))[:most]
        rows = [[row, table.cells[labels[0]][row - 1] if labels else "", tidy(value)] for row, value in order]
        found.append({"name": table.names[at], "rows": rows})
    return found
