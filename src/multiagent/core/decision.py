"""What policy is asked, typed and complete, and what it answers. Anything it cannot answer cleanly is a denial.

A question names nothing that is new each time (no task, no step): rules are about kinds of acts, and equal questions
are answered from the cache.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from multiagent.core.label import Labels
from multiagent.core.principal import Principal
from multiagent.core.tier import Tier

APPROVE: Final = "approve"
"""The obligation that means: allowed only once a person has approved."""


class CodeFacts(msgspec.Struct, frozen=True):
    """What policy may know of code: never the text itself. ``flags`` names risky calls found by a scan."""

    language: str
    sha256: str
    length: int
    flags: tuple[str, ...] = ()


class ToolAsk(msgspec.Struct, frozen=True, tag="tool", tag_field="ask"):
    """Asks whether this principal may run this tool with arguments of this hash, which carry these labels."""

    principal: Principal
    tool: str
    group: str
    idempotent: bool
    arguments_hash: str
    labels: Labels = ()
    code: CodeFacts | None = None


class ModelAsk(msgspec.Struct, frozen=True, tag="model", tag_field="ask"):
    """Asks whether this principal may send content with these labels to this model."""

    principal: Principal
    vendor: str
    model: str
    tier: Tier
    max_output: int
    labels: Labels = ()


class EgressAsk(msgspec.Struct, frozen=True, tag="egress", tag_field="ask"):
    """Asks whether this principal may open a connection to this host with content that carries these labels."""

    principal: Principal
    host: str
    port: int
    method: str
    labels: Labels = ()


Ask = ToolAsk | ModelAsk | EgressAsk


class Decision(msgspec.Struct, frozen=True):
    """Policy's answer; ``obligations`` are conditions of an allowance (``APPROVE``)."""

    allow: bool
    reasons: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()

    @property
    def needs_approval(self) -> bool:
        """Allowed, but only once a person has approved."""
        return self.allow and APPROVE in self.obligations


Decide = Callable[[Ask], Awaitable[Decision]]
"""The one question to policy; never raises: a failure to decide is a denial with its reason."""
