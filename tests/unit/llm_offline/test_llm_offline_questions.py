"""What a question of a table may be answered with: of the rows and columns that it names, or not at all."""

from pathlib import Path

import pytest

from tests.unit.llm_offline.offline_drive import end_to_end

SALES = """region,product,units,price,date
north,pen,10,1.5,2024-01-01
south,ink,20,2.5,2024-01-02
north,ink,30,2.0,2024-01-03
east,pen,40,4.0,2024-01-04
"""


def answer(folder: Path, text: str, query: str, name: str = "t.csv") -> str:
    file = folder / name
    file.write_text(text, "utf-8")
    return end_to_end(query, [file])[0]


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("What is the total units for pen?", ["`product` = pen (2 of 4)", "`units`: total 50,"]),
        ("how many rows have region north?", ["`region` = north (2 of 4)"]),
        ("average units in north", ["`region` = north (2 of 4)", "mean 20,"]),
        ("north 地区的 units 总和是多少", ["`region` = north", "总和 40，"]),
        (
            "average units excluding north by region",
            ["`region` != north (2 of 4)", "**east** with 40; smallest is south"],
        ),
        ("total units of pen in the north", ["`product` = pen", "`region` = north", "(1 of 4)", "total 10,"]),
        ("total units in January 3", ["`date` = 1-3 (1 of 4)", "total 30,"]),
        ("total units since 2024-01-03", ["`date` >= 2024-01-03 (2 of 4)", "total 70,"]),
        ("2024年1月2日的 units 总和", ["`date` = 2024-1-2", "总和 20，"]),
        ("what share of units does north have?", ["Share of `units` where `region` = north: 40%** (40 of 100)"]),
        ("how many rows have units below 25?", ["`units` < 25 (2 of 4)", "Rows that meet this: **2**"]),
        ("total units where region is west", ["(0 of 4)", "Not answered: no row meets this."]),
        ("how many units does ink have in total?", ["`product` = ink", "total 50,"]),
        ("total units between 2024-01-02 and 2024-01-03", ["`date` >= 2024-01-02, `date` <= 2024-01-03", "total 50,"]),
        ("total price where units between 15 and 35", ["`units` >= 15, `units` <= 35 (2 of 4)", "total 4.5,"]),
        ("total units of north and south", ["total 60,", "largest is **north** with 40; smallest is south with 20"]),
        ("不在north的units总和", ["`region` != north", "总和 60，"]),
        ("what fraction of region is north?", ["Share of rows where `region` = north: 50%** (2 of 4)"]),
        ("what percentage of rows are pen?", ["Share of rows where `product` = pen: 50%** (2 of 4)"]),
    ],
)
def test_conditions_are_applied_and_told(tmp_path: Path, query: str, facts: list[str]) -> None:
    text = answer(tmp_path, SALES, query)
    assert [fact for fact in facts if fact not in text] == []


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("total units in Atlantis", "Atlantis"),
        ("total units in February and March 2023 for widgets", "widgets"),
        ("上海的 units 总和", "上海"),
        ("is the total units more than 50?", "50"),
        ("weighted average of units", "weighted"),
        ("what will units be next month?", "next month"),
        ("total units of products cancelled", "cancelled"),
        ("which region refunded the most units?", "refunded"),
        ("total units for accounts", "accounts"),
        ("total units for LED", "LED"),
        ("total units of refunds", "refunds"),
        ("total units of products never sold in Atlantis", "Atlantis"),
    ],
)
def test_a_condition_that_cannot_be_applied_is_told(tmp_path: Path, query: str, word: str) -> None:
    text = answer(tmp_path, SALES, query)
    assert word in text
    assert "Not applied" in text or "未应用" in text


@pytest.mark.parametrize(
    "query",
    [
        "which region sold the most units?",
        "which product earned the highest total price?",
        "what is the total of units sold by region?",
        "average price per unit sold by region",
        "mean price of products bought",
        "which region outperformed the others in units?",
        "which region leads in units?",
        "which product brings in the most units?",
        "which product costs the most by price?",
        "which sold more units, by region?",
        "哪个region卖出的units最多？",
        "各region售出的units合计是多少？",
    ],
)
def test_a_verb_that_any_rows_bear_out_is_no_condition(tmp_path: Path, query: str) -> None:
    text = answer(tmp_path, SALES, query)
    assert "Not applied" not in text
    assert "未应用" not in text
    assert "Not answered" not in text


def test_such_a_verb_is_a_condition_where_cells_say_it(tmp_path: Path) -> None:
    rows = "item,status,price\na,sold,10\nb,listed,20\nc,sold,30\n"
    assert "`status` = sold (2 of 3)" in answer(tmp_path, rows, "total price of items sold")


@pytest.mark.parametrize(
    ("query", "missing"),
    [("total profit by region", "profit"), ("what is the colour of the sky", "sky"), ("mean of discount", "discount")],
)
def test_what_the_table_does_not_have_is_not_answered_with_something_else(
    tmp_path: Path, query: str, missing: str
) -> None:
    text = answer(tmp_path, SALES, query)
    assert "Not answered: t.csv has no column or cell called" in text
    assert missing in text
    assert "total 100" not in text
    assert "40" not in text


def test_named_columns_count_even_where_they_number_the_rows(tmp_path: Path) -> None:
    rows = "x,y,z\n" + "".join(f"{at},{at * at},{at % 3}\n" for at in range(1, 9))
    text = answer(tmp_path, rows, "correlation between x and y")
    assert "`x` and `y`, Pearson r = 0.9762" in text
    assert "`z`" not in text
    chinese = answer(tmp_path, "价格,销量\n5,1\n3,2\n2,3\n2,4\n", "价格和销量有什么关系")
    assert "`价格` 与 `销量`，皮尔逊相关系数 r = -0.9129" in chinese
    assert "does not vary" in answer(tmp_path, "x,y\n5,0\n5,1\n5,2\n5,3\n", "correlation between x and y")
    assert "rises" in answer(tmp_path, "x,y\n" + "".join(f"{at},{at % 4}\n" for at in range(12)), "is x increasing?")


def test_a_column_without_values_and_a_column_far_to_the_right_are_the_ones_answered(tmp_path: Path) -> None:
    text = answer(tmp_path, "a,b,c\n1,,x\n2,,y\n3,,z\n", "mean of b")
    assert "Not answered for `b`" in text
    assert "total 6" not in text
    assert "`a`: total 6, mean 2" in answer(tmp_path, "a,b,c\n1,,x\n2,,y\n3,,z\n", "average of a")
    wide = [
        ",".join(f"c{at}" for at in range(300)),
        *(",".join(str(at * row) for at in range(300)) for row in range(5)),
    ]
    text = answer(tmp_path, "\n".join(wide), "sum of c299")
    assert "`c299`: total 2990," in text
    assert "`c29`" not in text


def test_whole_numbers_are_exact_and_too_large_ones_do_not_fail(tmp_path: Path) -> None:
    text = answer(tmp_path, "k,v\na,9007199254740993\nb,9007199254740995\n", "total v")
    assert "total 18014398509481988," in text
    assert "max 9007199254740995," in text
    assert "total 0.6," in answer(tmp_path, "k,v\na,0.1\nb,0.2\nc,0.3\n", "total v")
    assert "total ∞" in answer(tmp_path, "k,v\na,1e308\nb,1e308\nc,1e308\n", "total v")


def test_ties_are_told_with_their_number(tmp_path: Path) -> None:
    rows = "k,v\n" + "".join(f"g{at},{at // 15}\n" for at in range(20)) * 2
    text = answer(tmp_path, rows, "total v by k")
    assert "with 2; the smallest have 0 (15 tied)" in text
    assert "(5 tied)" in text
    assert "all 20 are tied with 2" in text
    assert "(10 rows share the last value)" in answer(tmp_path, rows, "highest v")


def test_money_is_read_and_mixed_currencies_are_not_added(tmp_path: Path) -> None:
    rows = 'k,cost,fee\nA,"$1,234.50",$2\nB,$2.00,€3\nC,($4.00),$5\n'
    assert "total 1232.5," in answer(tmp_path, rows, "total cost")
    text = answer(tmp_path, rows, "total fee by k")
    assert "Not answered for `fee`" in text


def test_a_total_row_is_left_out_with_a_note(tmp_path: Path) -> None:
    text = answer(tmp_path, "region,units\nnorth,5\nsouth,7\nTotal,12\n", "total units")
    assert "`units`: total 12," in text
    assert "labelled Total" in text


def test_excel_separator_lines_and_grouped_decimal_commas_are_read(tmp_path: Path) -> None:
    assert "`v`: total 3," in answer(tmp_path, "sep=;\nname;v\na;1\nb;2\n", "total v")
    assert "total 3245.06," in answer(tmp_path, "k;v\nA;1.234,56\nB;2.000,00\nC;10,50\n", "total v")


def test_rows_that_list_several_codes_are_counted(tmp_path: Path) -> None:
    rows = "#codes\tTZ\nAD\tEurope/Andorra\nAE,OM,RE\tAsia/Dubai\nAF\tAsia/Kabul\nAQ,DJ\tA\n"
    text = answer(tmp_path, rows, "In z.tab, how many zones are shared by more than one country?", "z.tab")
    assert "shared by more than one country: 2** (rows whose `codes` lists more than one value)" in text


def test_a_table_of_one_row_has_no_outliers_and_no_trends(tmp_path: Path) -> None:
    text = answer(tmp_path, "a,b\n5,7\n", "analyse this")
    assert "(1 row)" in text
    assert "utlier" not in text
    assert "rend" not in text


def test_a_question_over_two_tables_is_led_by_what_both_together_say(tmp_path: Path) -> None:
    orders, customers = tmp_path / "orders.csv", tmp_path / "cust.csv"
    orders.write_text("order_id,cust,amount\n1,C1,10\n2,C2,20\n3,C1,5\n4,C9,100\n", "utf-8")
    customers.write_text("cust,city\nC1,Oslo\nC2,Bergen\nC3,Rome\n", "utf-8")
    text, _ = end_to_end("which city has the highest total amount", [orders, customers])
    first, *_ = text.splitlines()
    assert "Total of `amount` by `city`: largest is **Bergen** with 20; smallest is Oslo with 15." in first
    assert "without a match in cust.csv, in no group: 1 (`amount` 100)" in text


def test_a_text_shows_the_sentence_that_answers_or_says_that_none_does(tmp_path: Path) -> None:
    told = "# Report\nRevenue grew.\n\nThe total for 2022 was 41 euros. The total for 2023 was 53 euros.\n"
    text = answer(tmp_path, told, "what was the total for 2023?", "r.md")
    assert "> The total for 2023 was 53 euros." in text
    assert "does not contain 2031" in answer(tmp_path, told, "what was the total for 2031?", "r.md")
    assert "Not answered by the text" in answer(tmp_path, told, "who painted the bridge?", "r.md")


def test_words_are_counted_between_spaces(tmp_path: Path) -> None:
    text = answer(tmp_path, "In 2023 there were 5 ducks, 6 geese.\nAll fly - 7.\n", "how many words?", "w.md")
    assert "12 words" in text
    assert "Not answered" not in text


def test_columns_of_one_name_are_all_answered(tmp_path: Path) -> None:
    text = answer(tmp_path, "x,x,y\n1,10,a\n2,20,b\n3,5,a\n", "total x")
    assert "`x`: total 6," in text
    assert "`x (2)`: total 35," in text


@pytest.mark.parametrize("text", ["a,b\n", "\n\n\n", ""])
def test_a_table_without_rows_answers_nothing(tmp_path: Path, text: str) -> None:
    told = answer(tmp_path, text, "total a")
    assert "Not answered: t.csv has no rows of data." in told
    assert "0 " not in told.replace("(0 rows)", "")


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("total v in 2020", "total 30,"),
        ("total v after 2019", "total 70,"),
        ("total v from 2019 to 2021", "total 80,"),
        ("total v in 2019 and 2021", "total 50,"),
        ("total v in 2031", "no row meets this"),
    ],
)
def test_years_in_a_column_of_whole_numbers_are_conditions(tmp_path: Path, query: str, fact: str) -> None:
    assert fact in answer(tmp_path, "year,v\n2019,10\n2020,30\n2021,40\n", query)
