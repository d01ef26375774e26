"""Belief: log-odds that add up to Bayes' rule."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.agents.belief import Belief, Evidence, Weight, log_odds, probability
from multiagent.core.errors import WorkflowBroken

chances = st.integers(1, 99).map(lambda percent: Fraction(percent, 100))
weights = st.lists(st.tuples(chances, chances), max_size=12)


def brute_force(prior: Fraction, seen: list[tuple[Fraction, Fraction]]) -> Fraction:
    """Sum the joint distribution over every outcome of every observation, and keep what agrees with what was seen."""
    agreeing = {True: Fraction(0), False: Fraction(0)}
    total = Fraction(0)
    for world in product((True, False), repeat=len(seen) + 1):
        true, *outcomes = world
        chance = prior if true else 1 - prior
        for outcome, (if_true, if_false) in zip(outcomes, seen, strict=True):
            likely = if_true if true else if_false
            chance *= likely if outcome else 1 - likely
        total += chance
        if all(outcomes):
            agreeing[true] += chance
    assert total == 1
    return agreeing[True] / (agreeing[True] + agreeing[False])


def believed(prior: Fraction, seen: list[tuple[Fraction, Fraction]]) -> Belief:
    belief = Belief().consider("h", "it is so", float(prior))
    for number, (if_true, if_false) in enumerate(seen):
        belief = belief.observe(Evidence(f"e{number}", "seen", (Weight("h", float(if_true), float(if_false)),)))
    return belief


@pytest.mark.requirement("C6.belief", "S.agents.belief", "S.agents.belief")
@given(chances, weights.filter(lambda seen: len(seen) <= 5))
def test_an_update_equals_a_brute_force_bayes_calculation(
    prior: Fraction, seen: list[tuple[Fraction, Fraction]]
) -> None:
    (hypothesis,) = believed(prior, seen).hypotheses
    assert hypothesis.confidence == pytest.approx(float(brute_force(prior, seen)), abs=1e-7)


@given(chances, weights)
def test_the_order_of_evidence_does_not_matter(prior: Fraction, seen: list[tuple[Fraction, Fraction]]) -> None:
    one, other = believed(prior, seen).hypotheses[0], believed(prior, sorted(seen)).hypotheses[0]
    assert one.log_odds == pytest.approx(other.log_odds, abs=1e-7)


@given(st.floats(-13, 13))
def test_log_odds_and_probability_are_inverse(value: float) -> None:
    assert log_odds(probability(value)) == pytest.approx(value, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=400))
def test_however_much_is_seen_nothing_is_lost_to_rounding(seen: list[tuple[float, float]]) -> None:
    belief = Belief().consider("h", "it is so")
    for number, (if_true, if_false) in enumerate(seen):
        belief = belief.observe(Evidence(f"e{number}", "seen", (Weight("h", if_true, if_false),)))
    assert 0.0 <= belief.hypotheses[0].confidence <= 1.0


def test_the_best_hypothesis_is_the_leading_one_once_it_reaches_the_threshold() -> None:
    belief = Belief(0.9).consider("a", "the first").consider("b", "the second", 0.6)
    assert belief.leading is not None
    assert belief.leading.id == "b"
    assert belief.best is None
    sure = belief.observe(Evidence("e", "for a", (Weight("a", 0.9, 0.1), Weight("b", 0.2, 0.8))))
    assert sure.best is not None
    assert (sure.best.id, round(sure.best.confidence, 6)) == ("a", 0.9)


def test_evidence_counts_once_and_bears_only_on_known_hypotheses() -> None:
    belief = Belief().consider("h", "it is so")
    seen = Evidence("e", "seen", (Weight("h", 0.9, 0.1),))
    with pytest.raises(WorkflowBroken, match="observed before"):
        belief.observe(seen).observe(seen)
    with pytest.raises(WorkflowBroken, match="no hypothesis 'x'"):
        belief.observe(Evidence("f", "seen", (Weight("x", 0.9, 0.1),)))
    with pytest.raises(WorkflowBroken, match="already"):
        belief.consider("h", "again")
