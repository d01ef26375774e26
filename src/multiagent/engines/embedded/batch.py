"""What one turn of a run wants committed, and what may begin once it is."""

from multiagent.core.events import EventDraft
from multiagent.engines.asked import Asked
from multiagent.storage.sql.ops import AppendEvent, Op


class Batch(Asked):
    """Operations in order, and the actions that wait for their commit."""

    __slots__ = ("acks", "fed", "ops")

    def __init__(self, tenant: str, task: str, principal: tuple[str, str]) -> None:
        def tell(draft: EventDraft) -> None:
            self.ops.append(AppendEvent(tenant=tenant, task=task, event=draft))

        super().__init__(principal, tell)
        self.ops: list[Op] = []
        self.fed = 0
        self.acks: list[str] = []
