"""What the offline model finds in tables, computed a second time here."""

import csv
import io
import json
import random
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from tests.unit.llm_offline.offline_drive import end_to_end

ZONES = Path(str(files("tzdata"))) / "zoneinfo"
ZONE_QUERY = (
    "Report on these time-zone tables: how many zones and countries are there, which countries have the most zones, "
    "and how do the three files relate?"
)


def written(folder: Path, name: str, rows: Iterable[Iterable[object]], mark: str = ",") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=mark, lineterminator="\n").writerows(rows)
    path = folder / name
    path.write_text(text.getvalue(), "utf-8")
    return path


def tab_rows(name: str) -> list[list[str]]:
    lines = (ZONES / name).read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def test_the_time_zone_tables_are_reported_as_an_independent_count_has_them() -> None:
    """Three agents read the files, a fourth relates them; counts, names and leftovers are right."""
    tables = [ZONES / name for name in ("zone.tab", "zone1970.tab", "iso3166.tab")]
    text, plan = end_to_end(ZONE_QUERY, tables)
    assert [task.depends_on for task in plan.tasks] == [(), (), (), ("t1", "t2", "t3")]
    zones, shared, names = (tab_rows(file.name) for file in tables)
    countries = dict(names)
    most = Counter(row[0] for row in zones).most_common(1)[0]
    many = Counter(code for row in shared for code in row[0].split(",")).most_common(2)
    only = {row[2] for row in zones} - {row[2] for row in shared}
    absent = sorted(countries.keys() - {row[0] for row in zones})
    for fact in (
        f"zones: {len(zones)}** (rows of zone.tab)",
        f"zones: {len(shared)}** (rows of zone1970.tab)",
        f"countries: {len(countries)}**",
        f"{most[0]} ({countries[most[0]]}) {most[1]}",
        ", ".join(f"{code} ({countries[code]}) {count}" for code, count in many),
        f"{len(only)} only in zone.tab",
        f"{len(absent)} only in iso3166.tab, such as {', '.join(absent)}",
        "Sources: zone.tab, zone1970.tab, iso3166.tab",
    ):
        assert fact in text


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
@pytest.mark.parametrize("chinese", [False, True])
def test_a_report_finds_what_was_planted(tmp_path: Path, mark: str, chinese: bool) -> None:
    """Largest group, correlation, outlier, trend and missing values, in both languages and any dialect."""
    chance = random.Random(f"{mark}{chinese}")
    rows: list[list[object]] = [["when", "kind of thing", "size", "weight", "level", "odd"]]
    for day in range(80):
        size = chance.gauss(50, 9)
        kind = chance.choice(["alpha", "alpha", "alpha", "beta", "gamma"])
        level: object = round(100 - day + chance.gauss(0, 3), 2) if day % 20 else "NA"
        moment = date(2024, 1, 1) + timedelta(days=day)
        rows.append(
            [moment, kind, round(size, 3), round(-2 * size + chance.gauss(0, 1), 3), level, chance.randint(1, 9)]
        )
    rows[31][5] = 777
    file = written(tmp_path, "things.csv", rows, mark)
    query = "请分析这个表。" if chinese else "Please analyse this table."
    text, plan = end_to_end(query, [file])
    counts = Counter(row[1] for row in rows[1:])
    total = sum(float(str(row[2])) for row in rows[1:] if row[1] == "alpha")
    assert len(plan.tasks) == 3
    assert re.search(rf"\*\*alpha\*\*\D+{counts['alpha']}", text)
    assert str(round(total, 4)) in text
    assert re.search(r"`size` (and|与) `weight`.* r = -0\.99", text)
    assert ("第 31 行：777" if chinese else "row 31: 777") in text
    assert ("`level` 随 `when`下降" if chinese else "`level` falls over `when`") in text
    assert "`level` 4" in text


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("Which city sold the most units in total?", "Total of `units` by `city`: largest is **Oslo** with 12"),
        ("What is the average of units?", "mean 4.25"),
        ("units of Lima: total where city is Lima", "total 5"),
        ("哪个city的units合计最高？", "按 `city` 的 `units` 总和：最大的是 **Oslo**，为 12"),
        ("How many rows are there?", "4 rows"),
        ("top 1 rows by units", "row 1 (Oslo): 7"),
        ("How many values are missing?", "`note` 3"),
        ("Are there duplicate rows?", "repeat an earlier row: 0"),
    ],
)
def test_a_question_is_answered_from_its_columns(tmp_path: Path, query: str, fact: str) -> None:
    rows: list[list[object]] = [
        ["city", "units", "note"],
        ["Oslo", 7, "x"],
        ["Lima", 5, ""],
        ["Oslo", 5, ""],
        ["Rome", 0, ""],
    ]
    text, _ = end_to_end(query, [written(tmp_path, "sales.csv", rows)])
    assert fact in text


def test_decimal_commas_beside_dotted_dates_are_read(tmp_path: Path) -> None:
    file = tmp_path / "kurse.csv"
    file.write_text("tag;wert\n17.11.2019;53,021\n18.11.2019;60,5\n19.11.2019;70,25\n", "utf-8")
    text, _ = end_to_end("What is the total of wert?", [file])
    assert "total 183.771" in text


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    file = written(tmp_path, "bare.csv", [["a", 1], ["b", 2], ["a", 6]])
    text, _ = end_to_end("Which column 1 has the largest total column 2?", [file])
    assert "Total of `column 2` by `column 1`: largest is **a** with 7" in text


def test_a_table_takes_what_another_says_of_its_keys(tmp_path: Path) -> None:
    """Orders are summed by the region of their customers."""
    customers = written(
        tmp_path, "customers.csv", [["id", "region"], ["c1", "north"], ["c2", "south"], ["c3", "north"]]
    )
    orders = written(
        tmp_path,
        "orders.csv",
        [["order", "customer", "amount"], ["o1", "c1", 10], ["o2", "c2", 25], ["o3", "c1", 5], ["o4", "c3", 20]],
    )
    text, _ = end_to_end("Report on these files and how they relate", [customers, orders])
    assert "Total of `amount` by `region`: largest is **north** with 35; smallest is south with 25" in text


def test_records_in_json_are_a_table_and_other_json_is_outlined(tmp_path: Path) -> None:
    table, other = tmp_path / "rows.json", tmp_path / "other.json"
    table.write_text(json.dumps([{"n": "x", "v": 1}, {"n": "y", "v": 5}, {"n": "x", "v": None}]), "utf-8")
    other.write_text(json.dumps({"a": [1, 2], "b": {"c": "d"}}), "utf-8")
    assert "largest is **y** with 5" in end_to_end("total v by n", [table])[0]
    assert 'a: [2 × 1], b: {c: "d"}' in end_to_end("what is this?", [other])[0]
