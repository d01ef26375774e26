"""A plan: which agent tasks there are, and what each waits for."""

from typing import Final, Literal

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.tier import Tier

Mode = Literal["simple", "standard", "complex"]
Strategy = Literal["direct", "iterative", "collaborative"]
"""How an agent task is done: at once; again until it is believed right; proposed, criticised and judged."""

AskedStrategy = Strategy | Literal["auto"]
"""What a task may ask for; ``auto`` chooses by complexity and need."""

MODES: Final[tuple[Mode, ...]] = ("simple", "standard", "complex")
STRATEGIES: Final[tuple[Strategy, ...]] = ("direct", "iterative", "collaborative")
ASKED: Final[tuple[AskedStrategy, ...]] = (*STRATEGIES, "auto")


def strategy(text: str) -> AskedStrategy:
    """Return the strategy of that name; InvalidInput naming the known ones where there is none."""
    for known in ASKED:
        if text == known:
            return known
    raise InvalidInput(f"unknown strategy {text!r}; choose one of {', '.join(ASKED)}")


class Node(msgspec.Struct, frozen=True):
    """One agent task of a plan.

    ``tier`` and ``strategy`` None mean: as the task's settings say. ``agent`` names a custom agent (empty: ours).
    """

    id: str
    title: str
    instruction: str
    depends_on: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    tier: Tier | None = None
    strategy: Strategy | None = None
    agent: str = ""


class Plan(msgspec.Struct, frozen=True):
    """A validated, acyclic plan; ``degraded``: it stands in for one that could not be made. ``mode`` None: by score."""

    tasks: tuple[Node, ...]
    reason: str = ""
    degraded: bool = False
    mode: Mode | None = None
