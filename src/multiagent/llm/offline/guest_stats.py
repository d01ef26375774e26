"""What can be found in a table: each function answers with plain values that print as JSON.

Runs in the sandbox, where the source of what a cell needs is part of the cell. Rows count from 1, without the header.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise

from multiagent.llm.offline.guest_table import Table

Found = dict[str, object]
Numbers = list[float]
Ways = dict[str, Callable[[Sequence[float]], float]]


def tidy(value: float) -> float:
    """Return whole numbers as int, others to 15 significant digits."""
    if isinstance(value, int) or value - value:
        return value
    return int(value) if abs(value) < 2**53 and value == int(value) else float(format(value, ".15g"))


def rough(value: float) -> float:
    """Round what is not exact anyway to four decimals, small values to four significant digits."""
    return tidy(round(value, 4) if abs(value) >= 0.1 else float(format(value, ".4g")))


def total(values: Sequence[float]) -> float:
    """Return a sum, exact where all values are whole, else by fsum; infinite where it is too large for a float."""
    plain = sum(values)
    return plain if isinstance(plain, int) or plain - plain else math.fsum(values)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return rough(total(values) / len(values))


TOTAL = re.compile(r"(?i)\W*(?:(grand|sub|over)[ -]?)?(total|sum)s?( all)?\W*$|合计$|总计$|小计$|总和$")


def label(table: Table) -> str:
    """Take a last row away that is labelled as a total of the others; return its label."""
    last = table.size - 1
    for cells in [table.cells[at] for at in table.of("text") if last > 0 and TOTAL.match(table.cells[at][last])]:
        if cells.count(cells[last]) == 1:
            rest = [column[:last] for column in table.cells]
            Table.__init__(table, table.names, rest, table.point)
            return cells[last]
    return ""


def known(table: Table, at: int) -> list[tuple[int, float]]:
    """Return (row, value) of a column's readable numbers."""
    return [(row, value) for row, value in enumerate(table.values(at), 1) if value is not None]


def numeric(table: Table, picked: list[int]) -> list[int]:
    """Return the picked columns of numbers; where none is picked, all that do not just number the rows."""
    every = table.of("int", "float")
    named = [at for at in picked if at in every]
    return named or (
        []
        if any(table.kinds[at] in {"empty", "mixed"} for at in picked)
        else [at for at in every if not counts(table, at)] or every
    )


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


def profile(table: Table, picked: list[int]) -> Found:
    """Return the rows, how many repeat another, and of columns the kind, gaps, distinct values, and statistics."""
    columns: list[Found] = []
    holes: list[tuple[int, str]] = []
    for at, kind in enumerate(table.kinds):
        seen = Counter(table.cells[at])
        gaps = sum(seen.pop(one, 0) for one in table.gaps[at])
        holes += [(gaps, table.names[at])] if gaps else []
        one: Found = {"name": table.names[at], "kind": kind, "missing": gaps, "distinct": len(seen)}
        column = known(table, at) if kind == "date" else []
        values = [value for value in table.values(at) if value is not None] if kind in {"int", "float"} else []
        if column:
            one |= {"first": table.cells[at][min(column, key=lambda pair: pair[1])[0] - 1]}
            one |= {"last": table.cells[at][max(column, key=lambda pair: pair[1])[0] - 1]}
        elif values:
            ways: Ways = {"sum": total, "median": statistics.median, "min": min, "max": max}
            one |= {name: tidy(way(values)) for name, way in ways.items()}
            middle, count = total(values) / len(values), len(values)
            one |= {"mean": mean(values), "count": count, "unread": table.size - gaps - count}
            if count > 1:
                one["deviation"] = rough(
                    math.sqrt(total([(value - middle) * (value - middle) for value in values]) / (count - 1))
                )
        columns += [one] if at in picked or not picked else []
    repeated = table.size - len(set(zip(*table.cells, strict=True)))
    holes.sort(key=lambda pair: -pair[0])
    whole = {"rows": table.size, "width": len(table.names), "repeated": repeated, "gaps": sum(one for one, _ in holes)}
    return {**whole, "holes": holes, "columns": columns}


def groups(table: Table, by: list[int], of: list[int], most: int = 12, *, extremes: bool = False) -> list[Found]:
    """Return per grouping column the groups by size, and by total, mean and extremes of numeric columns."""
    found: list[Found] = []
    ways: Ways = {"total": total, "mean": mean} | ({"max": max, "min": min} if extremes else {})
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
            parts = {
                cell: [value for row in rows if (value := column[row]) is not None] for cell, rows in members.items()
            }
            told = {cell: some for cell, some in parts.items() if some}
            ranks = {name: ranked({cell: way(some) for cell, some in told.items()}, most) for name, way in ways.items()}
            values.append({"of": table.names[at], **ranks})
        head = {"by": table.names[key], "groups": len(sizes), "sizes": ranked(sizes, most), "several": not plain}
        found.append(head | {"values": values})
    return found


def ranked(numbers: Mapping[str, float], most: int) -> Found:
    """Return [name, number] from the largest on and the last one, and how many share the first and the last place."""
    order = sorted(((name, tidy(one)) for name, one in numbers.items()), key=lambda pair: (-pair[1], pair[0]))
    values = [one for _, one in order]
    ends = [values.count(order[at][1]) for at in (0, -1)] if order else []
    return {"order": order[:most], "last": order[-1:], "ends": ends, "of": len(order)}


def line(xs: Numbers, ys: Numbers) -> tuple[float, float]:
    """Return Pearson's coefficient and the least-squares slope of pairs; not a number where a side does not vary."""
    if len(xs) < 3:
        return math.nan, math.nan
    sides = [[one - middle for one in side] for side in (xs, ys) for middle in [statistics.fmean(side)]]
    both, wide, high = (math.fsum(map(float.__mul__, sides[a], sides[b])) for a, b in ((0, 1), (0, 0), (1, 1)))
    return (both / math.sqrt(wide * high), both / wide) if wide * high > 0 else (math.nan, math.nan)


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


def correlate(table: Table, picked: list[int]) -> Found:
    """Return the pairs of numeric columns by Pearson's coefficient, strongest first, the strongest by ranks, and those
    that have none. Of two picked columns or more only these are paired; a single one with all others.
    """
    picked = [at for at in picked if table.kinds[at] not in {"text", "bool", "date"}]
    pool = picked if len(picked) > 1 else numeric(table, [])
    found: list[tuple[float, float, str, str]] = []
    flat: list[list[str]] = []
    for a, b in combinations(sorted({*pool[:30], *picked}), 2):
        if len(picked) == 1 and picked[0] not in {a, b}:
            continue
        xs, ys = paired(table.values(a), table.values(b))
        r = line(xs, ys)[0]
        if r - r:
            flat.append([table.names[a], table.names[b]])
        else:
            found.append((abs(by_ranks(xs, ys)), rough(r), table.names[a], table.names[b]))
    found.sort(key=lambda one: -abs(one[1]))
    best = max(found)[1:] if found else []
    return {"pairs": [one[1:] for one in found[:60]], "by_rank": best, "flat": flat, "of": len(pool)}


def outliers(table: Table, picked: list[int]) -> list[Found]:
    """Return per numeric column the values far from the rest, farthest first.

    Modified z-score (Iglewicz and Hoaglin 1993): the distance to the median over the median absolute deviation, itself
    over 0.6745, or 1.2533 times the mean one where that is zero. Values over 3.5 count.
    """
    found: list[Found] = []
    named = [at for at in picked if table.kinds[at] in {"int", "float"}]
    for at in named or table.of("int", "float"):
        column = table.values(at)
        values = [value for value in column if value is not None]
        if len(values) < 4:
            continue
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
    """Return the column of dates, or of whole numbers that count or only go up, that time runs along; -1: the rows.

    A number that is asked about alone is not its own time.
    """
    goes = {at: [value for _, value in known(table, at)] for at in table.of("int") if [at] != picked}
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
        if len(middles) < 3:
            continue
        rho = by_ranks([float(one) for one in range(len(middles))], middles)
        rho = 0.0 if rho - rho else rho
        clear = abs(rho) >= max(0.3, 2.6 / math.sqrt(len(middles) + 1))
        one: Found = {"name": table.names[at], "along": table.names[time] if time >= 0 else "", "strength": abs(rho)}
        if told and clear:
            one["slope"] = rough(line([order[row] for row in rows if column[row] is not None], ys)[1])
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
        same = sum(value == order[-1][1] for _, value in known(table, at)) if order else 0
        found.append(
            {"name": table.names[at], "rows": rows, "same": same, "told": sum(one[1] == order[-1][1] for one in order)}
        )
    return found
