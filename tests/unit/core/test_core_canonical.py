"""Canonical JSON as in RFC 8785, with big integers as strings."""

import json
import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.canonical import canonical, digest, number

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_are_written_as_ecmascript_does(bits: str, text: str) -> None:
    """Each sample of RFC 8785 gives its text."""
    assert number(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    """Writing loses nothing."""
    assert float(number(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    """NaN and infinities have no canonical form."""
    with pytest.raises(ValueError, match="NaN"):
        canonical([value])


@given(VALUES)
def test_canonical_json_reads_back_equal(value: object) -> None:
    """The canonical text is JSON of the same value."""
    text = canonical(value).decode("utf-8", "surrogatepass")
    assert json.loads(text, parse_int=float) == value


@given(st.dictionaries(st.text(), st.integers(0, 9)))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    """Two mappings that are equal have one text, whatever order they were built in."""
    assert canonical(value) == canonical(dict(reversed(value.items())))


def test_keys_are_sorted_as_utf16() -> None:
    """RFC 8785 §3.2.3: by UTF-16 code units, so an emoji sorts before U+FB33."""
    assert canonical(
        {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    ).decode() == ('{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}')


def test_integers_that_floats_cannot_hold_are_strings() -> None:
    """Beyond ±2**53 an integer is written as text."""
    assert canonical([2**53, 2**53 + 1, -(2**53) - 1]) == b'[9007199254740992,"9007199254740993","-9007199254740993"]'


def test_structs_are_objects_and_odd_things_are_refused() -> None:
    """Msgspec Structs are encoded by their fields; what JSON cannot hold raises."""

    class Pair(msgspec.Struct):
        b: int
        a: str

    assert canonical(Pair(1, "x")) == b'{"a":"x","b":1}'
    with pytest.raises(TypeError):
        canonical({1: "x"})


def test_domains_separate_digests() -> None:
    """The same value under two domains has two digests."""
    assert digest("a", {}) != digest("b", {})
    assert len(digest("a", {})) == 64
