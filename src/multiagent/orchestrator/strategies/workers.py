"""Whoever does an agent task, by its strategy. Workflow code."""

from multiagent.agents.calls import Brief
from multiagent.agents.loop import Agent, Purse
from multiagent.core.plan import Strategy
from multiagent.engines.base import Context
from multiagent.orchestrator.strategies.collaborative import Collaboration
from multiagent.orchestrator.strategies.iterative import Iteration
from multiagent.orchestrator.strategies.team import Worker


def worker(strategy: Strategy, ctx: Context, brief: Brief, purse: Purse) -> Worker:
    """Return who does an agent task."""
    if strategy == "collaborative":
        return Collaboration(ctx, brief, purse)
    if strategy == "iterative":
        return Iteration(ctx, brief, purse)
    return Agent(ctx, brief, purse)
