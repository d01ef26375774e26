"""Reads an answer as a sceptic: the planted facts must be in it, and every number must follow from the table."""

import datetime as dt
import itertools
import math
import re
import statistics
from collections.abc import Iterable, Iterator

from tests.planted.table import Fact, Table

_NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ROW = re.compile(r"(?:\brows?|\blines?|第|行)\s*#?\s*$", re.IGNORECASE)


def found(fact: Fact, answer: str) -> bool:
    """Whether each demanded word, or one of its alternatives, is in the answer."""
    plain = _plain(answer)
    return all(any(_in(word, plain) for word in alternatives) for alternatives in fact.must)


def _in(word: str, text: str) -> bool:
    if re.fullmatch(r"-?\d+(\.\d+)?", word):
        return re.search(rf"(?<![\d.]){re.escape(word)}(?!\d|\.\d)", text) is not None
    return word.casefold() in text.casefold()


def _plain(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.replace("−", "-"))


def invented(answer: str, table: Table) -> list[str]:
    """Return the numbers of an answer that do not follow from its table, each with the words before it."""
    text = _without_names(_plain(answer), table)
    known = sorted(set(derived(table)))
    return [
        f"{text[max(0, match.start() - 40) : match.end()]!r}"
        for match in _NUMBER.finditer(text)
        if not _follows(match, text, table, known)
    ]


def _without_names(text: str, table: Table) -> str:
    names = [table.name, *table.columns, *(cell for name in table.groups for cell in set(table.columns[name]))]
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, " § ")
    dates = next(
        cells for name, cells in table.columns.items() if name not in table.numbers and name not in table.groups
    )
    for date in dates:
        text = text.replace(date, " § ")
    return text


def _follows(match: re.Match[str], text: str, table: Table, known: list[float]) -> bool:
    written = match[0].replace(",", "").replace("−", "-")
    value = float(written)
    percent = text[match.end() :].lstrip().startswith(("%", "％"))
    mantissa = written.lower().partition("e")[0]
    places = len(mantissa.partition(".")[2])
    step = 10.0**-places if "e" not in written.lower() else abs(value) * 10.0**-places
    if _ROW.search(text[: match.start()]) and value.is_integer():
        return 1 <= value <= len(next(iter(table.columns.values()))) + 1
    scale = 0.01 if percent else 1.0
    return any(_near(value * scale, one, step * scale) for one in _around(known, value * scale, step * scale))


def _near(value: float, one: float, step: float) -> bool:
    return abs(abs(value) - abs(one)) <= 0.5000001 * step + 1e-9 * abs(one)


def _around(known: list[float], value: float, step: float) -> Iterator[float]:
    for one in known:
        if abs(abs(one) - abs(value)) <= step + 1e-9 * abs(value):
            yield one


def derived(table: Table) -> Iterable[float]:
    """Yield every number that a fair answer about the table may hold."""
    columns = table.columns
    rows = len(next(iter(columns.values())))
    yield from (rows, rows + 1, len(columns), len(table.numbers), len(table.groups), len(columns) - len(table.numbers))
    for name in columns:
        yield from _of_cells(columns[name], rows)
    numeric = {name: table.values(name) for name in table.numbers}
    for values in numeric.values():
        yield from _of_numbers([value for value in values if value is not None])
    yield from _of_groups(table, numeric)
    yield from _of_pairs(numeric)
    yield from _of_time(table, numeric)
    yield from (sum(value is None for values in numeric.values() for value in values), len(table.facts), 1)


def _of_cells(cells: list[str], rows: int) -> Iterable[float]:
    missing = sum(cell in {"", "NA", "n/a", "-", "null"} for cell in cells)
    yield from (missing, rows - missing, missing / rows, 1 - missing / rows)
    yield len(set(cells))
    yield len({cell for cell in cells if cell not in {"", "NA", "n/a", "-", "null"}})
    counts = {cell: cells.count(cell) for cell in set(cells)}
    if len(counts) <= 60:
        yield from counts.values()
        yield from (count / rows for count in counts.values())


def _of_numbers(values: list[float]) -> Iterable[float]:
    yield from values
    ordered = sorted(values)
    mean, median = statistics.fmean(values), statistics.median(values)
    yield from (
        mean,
        median,
        math.fsum(values),
        max(values) - min(values),
        statistics.stdev(values),
        statistics.pstdev(values),
    )
    yield from (statistics.variance(values), statistics.pvariance(values), len(set(values)))
    quartiles = [*statistics.quantiles(values, n=4), *statistics.quantiles(values, n=4, method="inclusive")]
    yield from quartiles
    for low, high in ((quartiles[0], quartiles[2]), (quartiles[3], quartiles[5])):
        yield from (
            high - low,
            low - 1.5 * (high - low),
            high + 1.5 * (high - low),
            low - 3 * (high - low),
            high + 3 * (high - low),
        )
    spread = statistics.median(abs(value - median) for value in values) or 1.0
    for value in (ordered[0], ordered[-1]):
        yield from (
            (value - mean) / statistics.stdev(values),
            (value - median) / spread,
            0.6745 * (value - median) / spread,
        )
        yield from (value / median if median else 0.0, value / mean if mean else 0.0)


def _of_groups(table: Table, numeric: dict[str, list[float | None]]) -> Iterable[float]:
    for group, values in itertools.product(table.groups, numeric.values()):
        sums: dict[str, list[float]] = {}
        for member, value in zip(table.columns[group], values, strict=True):
            if value is not None:
                sums.setdefault(member, []).append(value)
        whole = math.fsum(value for part in sums.values() for value in part)
        for part in sums.values():
            total = math.fsum(part)
            yield from (
                total,
                statistics.fmean(part),
                len(part),
                min(part),
                max(part),
                statistics.median(part),
                total / whole,
            )
        ordered = sorted((math.fsum(part) for part in sums.values()), reverse=True)
        yield from (one - two for one, two in itertools.pairwise(ordered))
        yield len(sums)
        for way in (math.fsum, statistics.fmean, len, min, max):
            ranks = [round(way(part), 9) for part in sums.values()]
            yield from (ranks.count(max(ranks)), ranks.count(min(ranks)))


def _of_pairs(numeric: dict[str, list[float | None]]) -> Iterable[float]:
    for one, two in itertools.combinations(numeric.values(), 2):
        both = [(a, b) for a, b in zip(one, two, strict=True) if a is not None and b is not None]
        r = statistics.correlation([a for a, _ in both], [b for _, b in both])
        yield from (r, r * r, len(both))


def _of_time(table: Table, numeric: dict[str, list[float | None]]) -> Iterable[float]:
    dates = next(cells for name, cells in table.columns.items() if name not in numeric and name not in table.groups)
    days = [dt.date.fromisoformat(date).toordinal() for date in dates]
    yield from (days[-1] - days[0], days[1] - days[0])
    for values in numeric.values():
        seen = [
            (day, row, value) for row, (day, value) in enumerate(zip(days, values, strict=True)) if value is not None
        ]
        for position in (0, 1):
            xs, ys = [float(point[position]) for point in seen], [point[2] for point in seen]
            line = statistics.linear_regression(xs, ys)
            r = statistics.correlation(xs, ys)
            yield from (line.slope, line.slope * 365.25, line.slope * 365, line.slope * 30, line.slope * 7, r, r * r)
        first, last = seen[0][2], seen[-1][2]
        yield from (last - first, (last - first) / first if first else 0.0, last / first if first else 0.0)
        yield from _of_parts([point[2] for point in seen])


def _of_parts(values: list[float]) -> Iterable[float]:
    for parts in (2, 3, 4, 5, 10):
        size = len(values) // parts
        if size:
            first, last = statistics.fmean(values[:size]), statistics.fmean(values[-size:])
            yield from (first, last, last - first, (last - first) / first if first else 0.0)
    ends = [statistics.fmean(values[: len(values) // 2]), statistics.fmean(values[len(values) // 2 :])]
    yield from (*ends, ends[1] - ends[0])
