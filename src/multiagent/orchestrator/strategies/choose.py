"""Which strategy an agent task is done by, pure."""

from multiagent.core.plan import AskedStrategy, Strategy
from multiagent.orchestrator.calls import AnalyzeOutput


def choose(
    planned: Strategy | None, asked: AskedStrategy | None, analysis: AnalyzeOutput, simple_below: float
) -> Strategy:
    """Return the plan's strategy, else the one that was asked for, else direct.

    ``auto`` is the seed's rule: direct for a simple query, collaborative where the query needs it, else iterative.
    """
    if planned is not None:
        return planned
    if asked is None:
        return "direct"
    if asked != "auto":
        return asked
    if analysis.score < simple_below:
        return "direct"
    return "collaborative" if analysis.collaborate else "iterative"
