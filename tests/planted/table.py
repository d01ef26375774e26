"""Random tables with planted facts, and questions about them, in English and Chinese.

Written from the promise alone ("tables in, planted facts found"): nothing here knows how answers are made.
"""

import csv
import datetime as dt
import io
import random
import statistics
from dataclasses import dataclass, field
from typing import Final

_SYLLABLES: Final = tuple(
    consonant + vowel for consonant in "bdfgklmnprstvwz" for vowel in "aeiou" if consonant + vowel not in {"fu", "gi"}
)
_HAN: Final = "东西南北春夏秋冬山河湖海林木花草金银铜铁天地星云风雨雪火石田"
_MISSING: Final = ("", "NA", "n/a", "-", "null")


@dataclass(frozen=True, slots=True)
class Fact:
    """One planted fact: the words an answer must hold (each a set of alternatives), and the question's part."""

    kind: str
    question: str
    must: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Table:
    """A table as written to a file, and as plain columns."""

    name: str
    text: str
    chinese: bool
    columns: dict[str, list[str]]
    groups: list[str]
    numbers: list[str]
    decimal: str
    facts: list[Fact] = field(default_factory=list)
    query: str = ""

    def values(self, column: str) -> list[float | None]:
        """A numeric column, None where a value is missing."""
        return [None if cell in _MISSING else float(cell) for cell in self.columns[column]]


class Maker:
    """Makes one table from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.chinese = self.random.random() < 0.4
        self.used: set[str] = set()

    def word(self) -> str:
        """A name not used before in this table."""
        while True:
            if self.chinese:
                made = "".join(self.random.sample(_HAN, self.random.choice((2, 3))))
            else:
                made = "".join(self.random.choices(_SYLLABLES, k=self.random.choice((2, 3, 3))))
                made += self.random.choice(("", "", "n", "s", "x"))
            if not any(made in other or other in made for other in self.used):
                self.used.add(made)
                return made

    def column(self) -> str:
        """A column's name: a word, sometimes of two parts."""
        first = self.word()
        if self.chinese or self.random.random() < 0.6:
            return first
        return first + self.random.choice(("_", " ", "-")) + self.word()

    def table(self) -> Table:
        """A table with four to seven columns and one planted fact of each kind."""
        rows = self.random.choice((30, 60, 120, 400))
        when, group = self.column(), self.column()
        numbers = [self.column() for _ in range(self.random.choice((3, 4, 5)))]
        groups = [self.word() for _ in range(self.random.choice((3, 4, 6)))]
        members = [self.random.choice(groups) for _ in range(rows)]
        data = {name: self._plain(rows) for name in numbers}
        plan = self.random.sample(numbers, 3)
        facts = [
            self._plant_trend(data, plan[0], when, rows),
            self._plant_correlation(data, plan[0], plan[1], numbers),
            self._plant_outlier(data, plan[2]),
            self._plant_group(data, plan[2], group, members, groups),
        ]
        places = self.random.choice((0, 1, 2, 3))
        columns = {when: self._dates(rows), group: members}
        columns |= {name: [f"{value:.{places}f}" for value in data[name]] for name in numbers}
        facts.append(self._plant_missing(columns, numbers, plan))
        facts = self._restate(facts, columns, plan, group, members)
        order = list(columns)
        self.random.shuffle(order)
        table = self._written({name: columns[name] for name in order}, [group], numbers)
        table.facts = self.random.sample(facts, self.random.choice((2, 3, 5)))
        table.query = self._query(table)
        return table

    def _plain(self, rows: int) -> list[float]:
        low = self.random.choice((1, 10, 200, 5000))
        return [self.random.uniform(low, low * 3) for _ in range(rows)]

    def _dates(self, rows: int) -> list[str]:
        day = dt.date(2019, 1, 1) + dt.timedelta(days=self.random.randrange(1000))
        step = self.random.choice((1, 7))
        return [(day + dt.timedelta(days=step * row)).isoformat() for row in range(rows)]

    def _plant_trend(self, data: dict[str, list[float]], name: str, when: str, rows: int) -> Fact:
        up = self.random.random() < 0.5
        base = statistics.fmean(data[name])
        noise = base * 0.05
        shift = [row / rows if up else 1 - row / rows for row in range(rows)]
        data[name] = [base * (0.5 + 1.5 * part) + self.random.uniform(-noise, noise) for part in shift]
        english = (
            ("ris", "increas", "grow", "upward", "climb", "up ")
            if up
            else ("fall", "decreas", "declin", "downward", "drop", "down ")
        )
        han = ("上升", "增", "上涨", "走高", "升高") if up else ("下降", "减", "下跌", "走低", "降低", "下滑")
        asked = self.random.choice(
            (f"{name}随{when}的变化趋势如何", f"{name}随时间是上升还是下降")
            if self.chinese
            else (
                f"how does {name} develop over time",
                f"what is the trend of {name} by {when}",
                f"is {name} rising or falling over time",
            )
        )
        return Fact("trend", asked, ((name,), han if self.chinese else english))

    def _plant_correlation(self, data: dict[str, list[float]], base: str, name: str, numbers: list[str]) -> Fact:
        spread = statistics.pstdev(data[base])
        sign = self.random.choice((1, -1))
        offset = 10 * spread + abs(statistics.fmean(data[base])) * 3
        data[name] = [offset + sign * value * 2 + self.random.uniform(-0.4, 0.4) * spread for value in data[base]]
        asked = self.random.choice(
            ("哪两个数值列的相关性最强", "哪两列数字之间相关系数最高")
            if self.chinese
            else (
                "which two numeric columns are most strongly correlated",
                "which pair of numeric columns has the strongest correlation",
                f"how strongly are {base} and {name} correlated",
            )
        )
        return Fact("correlation", asked, ((base,), (name,), ("r",)))

    def _plant_outlier(self, data: dict[str, list[float]], name: str) -> Fact:
        row = self.random.randrange(len(data[name]))
        data[name][row] = round(statistics.fmean(data[name]) * self.random.choice((25, 40)), 0)
        asked = self.random.choice(
            (f"{name}有没有异常值", f"{name}里哪个值明显离群")
            if self.chinese
            else (
                f"is there an outlier in {name}",
                f"which value of {name} stands out",
                f"find outliers in the column {name}",
            )
        )
        return Fact("outlier", asked, ((str(row),),))

    def _plant_group(
        self, data: dict[str, list[float]], name: str, group: str, members: list[str], groups: list[str]
    ) -> Fact:
        asked = self.random.choice(
            (f"哪个{group}的{name}合计最大", f"按{group}汇总{name}，总和最大的是哪一个")
            if self.chinese
            else (
                f"which {group} has the largest total {name}",
                f"which {group} has the highest sum of {name}",
                f"group by {group}: whose total of {name} is the largest",
            )
        )
        return Fact("group", asked, ((name,),))

    def _plant_missing(self, columns: dict[str, list[str]], numbers: list[str], plan: list[str]) -> Fact:
        others = [name for name in numbers if name not in plan] or [plan[1]]
        name = self.random.choice(others)
        cells = columns[name]
        count = self.random.randrange(3, max(4, len(cells) // 10 + 2))
        marker = self.random.choice(_MISSING)
        for row in self.random.sample(range(len(cells)), count):
            cells[row] = marker
        asked = self.random.choice(
            (f"{name}有多少个缺失值", "哪一列缺失值最多，缺多少")
            if self.chinese
            else (f"how many values are missing in {name}", "which column has the most missing values, and how many")
        )
        return Fact("missing", asked, ((name,), (str(count),)))

    def _restate(
        self, facts: list[Fact], columns: dict[str, list[str]], plan: list[str], group: str, members: list[str]
    ) -> list[Fact]:
        """Fill in what is known only of the written cells: the sums, the coefficient, the outlier's text."""
        done: list[Fact] = []
        for fact in facts:
            if fact.kind == "group":
                sums: dict[str, float] = {}
                for member, cell in zip(members, columns[plan[2]], strict=True):
                    sums[member] = sums.get(member, 0.0) + float(cell)
                best = max(sums, key=lambda name: sums[name])
                done.append(Fact("group", fact.question, ((best,), _written_forms(sums[best]))))
            elif fact.kind == "outlier":
                done.append(
                    Fact("outlier", fact.question, (_written_forms(float(columns[plan[2]][int(fact.must[0][0])])),))
                )
            elif fact.kind == "correlation":
                pairs = [
                    (float(one), float(two))
                    for one, two in zip(columns[plan[0]], columns[plan[1]], strict=True)
                    if one not in _MISSING and two not in _MISSING
                ]
                r = statistics.correlation([one for one, _ in pairs], [two for _, two in pairs])
                done.append(
                    Fact(
                        "correlation", fact.question, (*fact.must[:2], tuple(f"{r:.{places}f}" for places in (2, 3, 4)))
                    )
                )
            else:
                done.append(fact)
        return done

    def _written(self, columns: dict[str, list[str]], groups: list[str], numbers: list[str]) -> Table:
        delimiter = self.random.choice((",", "\t", ";", "|"))
        decimal = "," if delimiter == ";" and self.random.random() < 0.5 else "."
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator=self.random.choice(("\n", "\r\n")))
        writer.writerow(columns)
        for cells in zip(*columns.values(), strict=True):
            named = zip(columns, cells, strict=True)
            writer.writerow([cell.replace(".", decimal) if name in numbers else cell for name, cell in named])
        extension = {",": "csv", "\t": "tsv"}.get(delimiter, self.random.choice(("csv", "txt")))
        stem = self.word() if not self.chinese else "".join(self.random.choices(_SYLLABLES, k=3))
        return Table(f"{stem}.{extension}", out.getvalue(), self.chinese, columns, groups, numbers, decimal)

    def _query(self, table: Table) -> str:
        parts = [fact.question for fact in table.facts]
        if table.chinese:
            return self.random.choice(("", "请看附件：", f"根据{table.name}回答：")) + "？".join(parts) + "？"
        shape = self.random.choice(("list", "line", "and"))
        if shape == "list":
            return f"Answer these questions about {table.name}:\n" + "\n".join(f"- {part}?" for part in parts)
        if shape == "line":
            return " ".join(f"{part[0].upper()}{part[1:]}?" for part in parts)
        return f"Please look at the attached file. Tell me {', and '.join(parts)}?"


def _written_forms(value: float) -> tuple[str, ...]:
    """The ways in which an answer may write a number, thousands marks already taken out."""
    return tuple(dict.fromkeys(f"{value:.{places}f}" for places in (3, 2, 1, 0)))


def make(seed: int) -> Table:
    """Return the table of a seed."""
    return Maker(seed).table()
