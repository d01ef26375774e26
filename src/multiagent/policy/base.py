"""The port of policy: one question, one answer; and a way to put another bundle of rules in place."""

from pathlib import Path
from typing import Protocol

import msgspec

from multiagent.core.decision import Ask, Decision


class OpaServer(msgspec.Struct, frozen=True):
    """An OPA server: its address (``http://host:port``; empty: none, decide here), the bearer token it asks for, and
    the seconds that one of its answers may take.
    """

    url: str = ""
    token: str = ""
    timeout_s: float = 2.0


class Policy(Protocol):
    """Decides by a bundle of rules. ``decide`` is a ``core.decision.Decide``."""

    @property
    def bundle_hash(self) -> str:
        """The SHA-256 (64 hex digits) of the bundle that decides."""
        ...

    async def decide(self, ask: Ask) -> Decision:
        """Answer; never raises for what it is asked: what cannot be decided cleanly is denied, with the reason."""
        ...

    async def check(self) -> None:
        """Raise PolicyDenied where nothing can be decided now: its server is away, or runs other rules."""
        ...

    async def reload(self, directory: Path) -> str:
        """Put the bundle in this folder in place and return its hash; PolicyBroken keeps the one that decides now."""
        ...
