"""The frozen configuration of one task: read at its submit, journaled with it, never re-read."""

from typing import Literal

import msgspec

from multiagent.core.budget import Limit
from multiagent.core.plan import AskedStrategy
from multiagent.core.tier import Tier

FailedAgent = Literal["continue", "skip", "fail_fast", "retry"]
"""What follows where an agent task fails: its dependents go on with what there is; or are skipped; or the whole task
fails at once; or the agent task is done once more, and then as ``continue``."""


class TaskSettings(msgspec.Struct, frozen=True):
    """What workflow code may know of configuration, through ``ctx.settings`` only, at each use.

    Times are seconds, scores 0–1, money pico-dollars. ``model`` empty means: routed by tier. ``tier`` None means:
    chosen by complexity. ``fail_fast`` is in tasks from before ``failed_agent``.
    ``plan_only``: the task ends once its plan is made.
    ``require_approval``: a person approves the plan before any agent starts.
    ``ask_user``: agents may ask their user.
    ``strategy`` is that of the agent tasks whose plan names none (None: direct; auto: by complexity and need).
    """

    simple_below: float = 0.3
    complex_from: float = 0.7
    max_agents: int = 5
    max_nodes: int = 12
    max_turns: int = 8
    max_repeats: int = 3
    max_output: int = 4096
    temperature: float = 0.0
    tier: Tier | None = None
    model: str = ""
    limit: Limit = Limit()
    request_limit: Limit = Limit()
    fail_fast: bool = False
    failed_agent: FailedAgent = "continue"
    prompt_version: str = "1"
    policy_version: str = ""
    cache: bool = True
    plan_only: bool = False
    strategy: AskedStrategy | None = None
    require_approval: bool = False
    ask_user: bool = False
