"""Who acts, and how an agent's rights are narrowed from its user's."""

from typing import Literal

import msgspec

Role = Literal["guest", "user", "admin"]


class Principal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person, a service, or an agent acting for one.

    ``agent`` is empty for people; for agents ``user`` stays the person they act for (``on_behalf_of``).
    """

    tenant: str
    user: str
    role: Role = "user"
    authenticated: bool = True
    permissions: tuple[str, ...] = ()
    agent: str = ""

    @property
    def name(self) -> str:
        """Who acts, as written into events: ``agent/<id>`` or ``user/<id>``."""
        return f"agent/{self.agent}" if self.agent else f"user/{self.user}"

    @property
    def on_behalf_of(self) -> str:
        """Whose rights are used: empty for people, ``user/<id>`` for agents."""
        return f"user/{self.user}" if self.agent else ""


def as_agent(user: Principal, agent: str, grant: tuple[str, ...]) -> Principal:
    """Return the principal of an agent: its user's permissions narrowed to the grant, never the admin role."""
    kept = tuple(sorted(set(user.permissions) & set(grant)))
    role: Role = "guest" if user.role == "guest" else "user"
    return Principal(user.tenant, user.user, role, user.authenticated, kept, agent)
