"""What a person asks for at a door of this process."""

from pathlib import Path

import msgspec

from multiagent.core.plan import AskedStrategy
from multiagent.core.tier import Tier


class Ask(msgspec.Struct, frozen=True):
    """A query with its files, and the limits that override the configured ones (None keeps those).

    ``plan`` is a file with a plan of the user's own; ``plan_only``: nothing is run but the planning.
    ``require_approval``: agents start once a person has approved the plan.
    ``ask_user``: they may ask their user.
    ``session`` is one that the task belongs to, ``recalled`` names of its files that the task uses again.
    """

    query: str
    files: tuple[Path, ...] = ()
    tokens: int | None = None
    pico: int | None = None
    tier: Tier | None = None
    max_agents: int | None = None
    plan: Path | None = None
    plan_only: bool = False
    strategy: AskedStrategy | None = None
    require_approval: bool = False
    session: str = ""
    recalled: tuple[str, ...] = ()
    ask_user: bool = False
