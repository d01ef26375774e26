"""The calculator's arithmetic, against Python's own fractions."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from multiagent.core.errors import ToolArguments
from multiagent.tools.builtin.arithmetic import calculate
from multiagent.tools.builtin.functions import MOST_BITS, write

Pair = tuple[str, Fraction]

NUMBERS: st.SearchStrategy[Pair] = st.one_of(
    st.integers(0, 10**6).map(lambda number: (str(number), Fraction(number))),
    st.decimals(0, 10**6, places=3).map(lambda number: (str(number), Fraction(number))),
)


def _joined(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.tuples(pairs, st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "neg", "half"]), pairs).map(_apply)


def _apply(parts: tuple[Pair, str, Pair]) -> Pair:
    """Python's own arithmetic on the values; what it cannot do is left out, the text with it."""
    (left_text, left), sign, (right_text, right) = parts
    if sign == "neg":
        return f"-({left_text})", -left
    if sign == "half":
        return f"({left_text})*50%", left / 2
    if sign == "**":
        exponent = int(right) % 4
        return f"({left_text})**{exponent}", left**exponent
    if sign in {"/", "//", "%"} and right == 0:
        return left_text, left
    values = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
        "//": lambda: Fraction(left // right),
        "%": lambda: left % right,
    }
    return f"({left_text}) {sign} ({right_text})", values[sign]()


EXPRESSIONS = st.recursive(NUMBERS, _joined, max_leaves=12)


@given(EXPRESSIONS)
def test_it_computes_what_python_computes_exactly(pair: Pair) -> None:
    text, value = pair
    assume(max(value.numerator.bit_length(), value.denominator.bit_length()) < MOST_BITS // 4)
    assert calculate(text) == value


FLAT = st.lists(st.tuples(st.sampled_from(["+", "-", "*", "//", "%"]), st.integers(1, 99)), min_size=1, max_size=8)


@given(st.integers(1, 99), FLAT)
def test_precedence_and_grouping_are_pythons(first: int, rest: list[tuple[str, int]]) -> None:
    text = str(first) + "".join(f" {sign} {number}" for sign, number in rest)
    assert calculate(text) == eval(text)


@given(st.integers(-9, 9), st.integers(0, 3), st.integers(0, 2))
def test_powers_group_to_the_right_and_bind_before_a_sign(base: int, one: int, two: int) -> None:
    text = f"{base}**{one}**{two}"
    assert calculate(text) == eval(text)


@given(st.decimals(-(10**9), 10**9, places=6))
def test_a_decimal_is_written_as_it_was_read(number: Decimal) -> None:
    written = write(Fraction(number))
    assert Fraction(written) == Fraction(number)


@given(st.text(max_size=60))
def test_any_text_is_computed_or_refused_and_nothing_else(text: str) -> None:
    with suppress(ToolArguments):
        assert write(calculate(text))


@given(st.text("0123456789+-*/%^(). ,maxsqrt", max_size=40))
def test_any_text_of_its_own_characters_is_computed_or_refused(text: str) -> None:
    with suppress(ToolArguments):
        assert write(calculate(text))


@pytest.mark.requirement("S.tools.calculator")
@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("0.1 + 0.2", "0.3"),
        ("2 + 3 * 4", "14"),
        ("(1200 - 950) / 950 * 100", "26.3157894736842"),
        ("2 × （3＋4） ÷ 7", "2"),
        ("１２ － ５", "7"),
        ("15% of 200", "30"),
        ("200 * 15%", "30"),
        ("15% - 3", "-2.85"),
        ("17 % 5", "2"),
        ("percent(15, 200)", "30"),
        ("1/3", "0.333333333333333"),
        ("5² + 2¹⁰", "1049"),
        ("√16 + sqrt(2.25)", "5.5"),
        ("sqrt(2)", "1.4142135623731"),
        ("2 ** 0.5 - sqrt(2)", "0"),
        ("log(1000, 10)", "3"),
        ("log2(0.125)", "-3"),
        ("ln(e)", "1"),
        ("round(2.5) + round(3.5)", "6"),
        ("round(2.675, 2)", "2.68"),
        ("round(1234, -2)", "1200"),
        ("mean(1, 2, 4)", "2.33333333333333"),
        ("median(3, 1, 2, 10)", "2.5"),
        ("max(1, min(5, 3), 2)", "3"),
        ("abs(-3) + floor(-1.5) + ceil(1.2)", "3"),
        ("1_000_000 * 1.05 ** 2", "1102500"),
        ("1.5e3", "1500"),
        ("2 + 3 =", "5"),
        ("2 * pi", "6.28318530717959"),
        ("1 / 10**25", "0.0000000000000000000000001"),
        ("1 / 3 / 10**25", "3.33333333333333E-26"),
        ("1,234,567.5 + 1", "1234568.5"),
        ("max(1,234)", "234"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
    ],
)
def test_what_it_answers(expression: str, answer: str) -> None:
    assert write(calculate(expression)) == answer


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "empty"),
        ("1 +", "a number is missing"),
        ("(1 + 2", r"expected '\)'"),
        ("1 2", "expected the end at character 3"),
        ("1,23 + 1", "expected the end at character 2"),
        ("1,2345", "expected the end at character 2"),
        ("2 $ 3", "character 3"),
        ("__import__('os')", "cannot read"),
        ("os.system", "cannot read"),
        ("system", "unknown name 'system'"),
        ("foo(1)", "unknown name 'foo'"),
        ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("9**9**9", "too large"),
        ("9**(9**9)", "too large"),
        ("(10**1000) * (10**1000)", "too large"),
        ("1e999999", "too large"),
        ("9" * 5000, "too large"),
        ("exp(10**6)", "too large"),
        ("(-8) ** 0.5", "square root"),
        ("(-8) ** 0.3", "negative number"),
        ("sqrt(-1)", "square root"),
        ("log(0)", "positive"),
        ("log(5, 1)", "base 1"),
        ("sqrt(1, 2)", "takes 1"),
        ("round(1, 0.5)", "whole number"),
        ("(" * 100 + "1" + ")" * 100, "nested"),
        ("1+" * 20_000 + "1", "characters"),
    ],
)
def test_what_it_refuses_and_says_why(expression: str, words: str) -> None:
    with pytest.raises(ToolArguments, match=words):
        calculate(expression)
