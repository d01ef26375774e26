"""The checker itself: it finds what is there and catches what is made up."""

import statistics

from tests.planted.checker import found, invented
from tests.planted.table import make


def test_tables_are_repeatable_and_varied() -> None:
    """One seed, one table; many seeds, both languages and all delimiters."""
    tables = [make(seed) for seed in range(60)]
    assert make(7).text == tables[7].text
    assert {table.chinese for table in tables} == {True, False}
    assert {mark for table in tables for mark in ",\t;|" if mark in table.text.splitlines()[0]} == set(",\t;|")
    assert {fact.kind for table in tables for fact in table.facts} == {
        "trend",
        "correlation",
        "outlier",
        "group",
        "missing",
    }


def test_a_true_answer_passes() -> None:
    """Numbers recomputed from the table are no inventions, and the planted words are found."""
    for seed in range(20):
        table = make(seed)
        name = table.numbers[0]
        values = [value for value in table.values(name) if value is not None]
        said = f"{name}: mean {statistics.fmean(values):.2f}, max {max(values):,.3f}. "
        said += " ".join(word[0] for fact in table.facts for word in fact.must)
        assert invented(said, table) == []
        assert all(found(fact, said) for fact in table.facts)


def test_a_made_up_number_is_caught() -> None:
    """A number that nothing in the table gives is named with the words before it."""
    caught = 0
    for seed in range(20):
        table = make(seed)
        caught += bool(invented("the total is 987654321.17 and the share 61.803%", table))
        assert not found(table.facts[0], "nothing to say")
    assert caught == 20
