"""Workflow code's own chance."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.engines.splitmix import SplitMix


def test_the_generator_gives_the_published_numbers() -> None:
    """The first outputs of SplitMix64 for the state 1234567, as its authors' C code prints them."""
    generator = SplitMix("")
    generator._state = 1234567
    assert [generator.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.text())
def test_one_seed_gives_one_stream_in_the_unit_interval(seed: str) -> None:
    first, second = SplitMix(seed), SplitMix(seed)
    numbers = [first.unit() for _ in range(20)]
    assert numbers == [second.unit() for _ in range(20)]
    assert all(0 <= number < 1 for number in numbers)


def test_seeds_that_differ_give_streams_that_differ() -> None:
    assert SplitMix("a").bits() != SplitMix("b").bits()
