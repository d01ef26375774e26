"""What the client side of the engine stands on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.engines.base import Step, Workflow
from multiagent.engines.temporal.connect import Link
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, TaskRow, Writer


@dataclass(frozen=True, slots=True)
class Ground:
    """``owner`` names this process; ``steps`` are those whose results it can show to people."""

    link: Link
    writer: Writer
    reader: Reader
    objects: Objects
    clock: Clock
    owner: str
    workflows: Mapping[str, Workflow[Any, Any]]
    steps: Mapping[str, Step[Any, Any]]

    def workflow(self, name: str) -> Workflow[Any, Any]:
        """Return a workflow; InvalidInput where this process has none of that name."""
        found = self.workflows.get(name)
        if found is None:
            known = ", ".join(sorted(self.workflows)) or "none"
            raise InvalidInput(f"no workflow {name!r} is registered in this process; registered: {known}")
        return found

    async def row(self, tenant: str, task: str) -> TaskRow:
        """Return a task's row; NotFound where there is none."""
        row = await self.reader.task(tenant, task)
        if row is None:
            raise NotFound(f"there is no task {task}")
        return row
