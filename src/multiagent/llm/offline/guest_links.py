"""How tables relate: columns that share values, and what one says of the other.

Runs in the sandbox, where the source of what a cell needs is part of the cell.
"""

from itertools import combinations, product

from multiagent.llm.offline.guest_stats import Found, grouping, groups, tally, tidy, total
from multiagent.llm.offline.guest_table import Table

Pair = tuple[str, int, str, int]


def pairs(tables: dict[str, Table]) -> list[Pair]:
    """Return for each two tables the pairs of columns that share values, best first, each column once."""
    found: list[Pair] = []
    every = {
        name: {at: set(tally(table, at)) for at in table.of("text", "int", "date")} for name, table in tables.items()
    }
    for left, right in combinations(tables, 2):
        scored: list[tuple[float, float, int, int]] = []
        for (a, mine), (b, other) in product(every[left].items(), every[right].items()):
            same = tables[left].names[a].lower() == tables[right].names[b].lower()
            part = len(mine & other) / max(1, min(len(mine), len(other)))
            if len(mine & other) > 1 and (
                same or (part >= 0.5 and "text" in tables[left].kinds[a] + tables[right].kinds[b])
            ):
                scored.append((part + same + len(mine & other) / len(mine | other), part, a, b))
        chosen: list[tuple[int, int]] = []
        for _, part, a, b in sorted(scored, reverse=True):
            if (part >= 0.9 or not chosen) and not any(a == one or b == other for one, other in chosen):
                chosen.append((a, b))
        found += [(left, a, right, b) for a, b in chosen]
    return found


def links(tables: dict[str, Table]) -> list[Found]:
    """Return the pairs of columns that share values: how many, and which only one side has."""
    found: list[Found] = []
    for left, a, right, b in pairs(tables):
        mine, other = set(tally(tables[left], a)), set(tally(tables[right], b))
        sides = [(left, a, mine, sorted(mine - other)), (right, b, other, sorted(other - mine))]
        told = [[file, tables[file].names[at], len(own), len(only), only[:5]] for file, at, own, only in sides]
        found.append({"sides": told, "shared": len(mine & other)})
    return found


def lookups(tables: dict[str, Table]) -> list[Pair]:
    """Return the pairs whose first column has every value once, so that it explains the second."""
    both = [one for pair in pairs(tables) for one in (pair, pair[2:] + pair[:2])]
    single = {one: max(tally(tables[one[0]], one[1]).values()) == 1 for pair in both for one in (pair[:2], pair[2:])}
    return [one for one in both if single[one[:2]] and not single[one[2:]]]


def named(tables: dict[str, Table]) -> list[Found]:
    """Return the most frequent values of columns that another table explains, with their names there."""
    told: list[Found] = []
    for lookup, at, file, key in lookups(tables):
        table = tables[lookup]
        label = next((c for c in table.of("text") if c != at and len(set(table.cells[c])) > 0.9 * table.size), None)
        if label is not None:
            names = dict(zip(table.cells[at], table.cells[label], strict=True))
            counts = tally(tables[file], key)
            order = sorted(counts, key=lambda code: (-counts[code], code))[:8]
            top = [[code, names.get(code, ""), counts[code]] for code in order]
            head = {"file": file, "column": tables[file].names[key], "lookup": lookup, "label": table.names[label]}
            told.append(head | {"top": top})
    return told


def joined(tables: dict[str, Table], lookup: str, at: int, file: str, key: int, asked: list[str]) -> Found:
    """Return a table's groups by the columns that it gains from another one that explains a column of it, those asked
    for first; and how much of it the other one does not know.
    """
    other, table = tables[lookup], tables[file]
    wanted = [c for c, name in enumerate(other.names) if c != at and name in asked]
    gained = wanted or [c for c in grouping(other) if c != at][:2]
    where = {cell: row for row, cell in enumerate(other.cells[at])}
    rows = [where.get(cell) for cell in table.cells[key]]
    cells = [["" if row is None else other.cells[c][row] for row in rows] for c in gained]
    names = table.names + [other.names[c] for c in gained]
    whole = Table(names, table.cells + cells, table.point)
    of = [c for c in table.of("int", "float") if table.names[c] in asked]
    lost = [
        [value for row, value in zip(rows, table.values(c), strict=True) if row is None and value is not None]
        for c in of
    ]
    without = [[table.names[c], tidy(total(some))] for c, some in zip(of, lost, strict=True)]
    found = groups(whole, list(range(len(table.names), len(names))), of) if gained else []
    head = {"file": file, "lookup": lookup, "key": table.names[key], "asked": bool(wanted and of)}
    return head | {"lost": rows.count(None), "without": without, "groups": found}
