"""What an agent holds to be true, pure: hypotheses, evidence, and how sure it is.

Each hypothesis is its own yes-or-no question; confidence is kept as log-odds, ``ln(p / (1 - p))``, so that evidence
adds up: a hypothesis gains ``ln(P(e | h) / P(e | not h))`` from each independent piece (I. J. Good, "Probability and
the Weighing of Evidence", 1950). The result is Bayes' rule, without a product that runs out of digits.
"""

import math
from typing import Final

import msgspec

from multiagent.core.errors import WorkflowBroken

SUREST: Final = 1e-6
"""No prior and no likelihood comes nearer to 0 or 1 than this, so that nothing is ever beyond doubt."""

DIGITS: Final = 9
"""Log-odds are rounded to so many digits: machines differ in the last ones, and what they decide must not."""


DECIDING: Final = 6
"""A threshold counts as reached by log-odds that are equal in so many digits: sums of rounded numbers fall short."""


class Hypothesis(msgspec.Struct, frozen=True):
    """A statement that may be true; ``log_odds`` is what is believed of it now."""

    id: str
    text: str
    log_odds: float = 0.0

    @property
    def confidence(self) -> float:
        """The probability that it is true, 0–1."""
        return probability(self.log_odds)


class Weight(msgspec.Struct, frozen=True):
    """How likely a piece of evidence is where a hypothesis is true, and where it is false (0–1)."""

    hypothesis: str
    if_true: float
    if_false: float


class Evidence(msgspec.Struct, frozen=True):
    """Something observed, with its weight for each hypothesis that it bears on."""

    id: str
    text: str
    weights: tuple[Weight, ...] = ()


class Belief(msgspec.Struct, frozen=True):
    """Hypotheses and the evidence they rest on; one is accepted from ``threshold`` (a probability) on."""

    threshold: float = 0.9
    hypotheses: tuple[Hypothesis, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def consider(self, id: str, text: str, prior: float = 0.5) -> "Belief":  # noqa: A002 - the record's field
        """Return the belief with one more hypothesis; WorkflowBroken where there is one of that id already."""
        if any(one.id == id for one in self.hypotheses):
            raise WorkflowBroken(f"there is a hypothesis {id!r} already")
        added = Hypothesis(id, text, round(log_odds(prior), DIGITS))
        return msgspec.structs.replace(self, hypotheses=(*self.hypotheses, added))

    def observe(self, evidence: Evidence) -> "Belief":
        """Return the belief after a piece of evidence; WorkflowBroken where it bears on an unknown hypothesis, or its
        id was observed before (the same evidence counts once).
        """
        if any(one.id == evidence.id for one in self.evidence):
            raise WorkflowBroken(f"the evidence {evidence.id!r} was observed before")
        known = [one.id for one in self.hypotheses]
        for weight in evidence.weights:
            if weight.hypothesis not in known:
                raise WorkflowBroken(f"there is no hypothesis {weight.hypothesis!r} for the evidence {evidence.id!r}")
        updated = tuple(_updated(one, evidence) for one in self.hypotheses)
        return msgspec.structs.replace(self, hypotheses=updated, evidence=(*self.evidence, evidence))

    @property
    def leading(self) -> Hypothesis | None:
        """The most probable hypothesis, the first of equals; None where there is none."""
        return max(self.hypotheses, key=lambda one: one.log_odds, default=None)

    @property
    def best(self) -> Hypothesis | None:
        """The leading hypothesis where it has reached the threshold, else None."""
        leading, needed = self.leading, round(log_odds(self.threshold), DECIDING)
        return leading if leading is not None and round(leading.log_odds, DECIDING) >= needed else None


def log_odds(probability: float) -> float:
    """Return ``ln(p / (1 - p))`` of a probability, kept within ``SUREST`` of 0 and 1."""
    bounded = _bounded(probability)
    return math.log(bounded) - math.log1p(-bounded)


def probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def _updated(hypothesis: Hypothesis, evidence: Evidence) -> Hypothesis:
    gained = sum(
        math.log(_bounded(one.if_true)) - math.log(_bounded(one.if_false))
        for one in evidence.weights
        if one.hypothesis == hypothesis.id
    )
    return msgspec.structs.replace(hypothesis, log_odds=round(hypothesis.log_odds + gained, DIGITS))


def _bounded(probability: float) -> float:
    return min(1.0 - SUREST, max(SUREST, probability))
