"""What this process has for the plans that users write, and what of those it refuses."""

from pathlib import Path

import msgspec

from multiagent.app.planfile import invalid, read_plan_file
from multiagent.core.plan import Plan
from multiagent.core.principal import Principal
from multiagent.orchestrator.given import Names, Reader, of_plan
from multiagent.orchestrator.handover import Handover
from multiagent.orchestrator.uploads import unique_names


class Offers(msgspec.Struct, frozen=True):
    """The names of tools and custom agents (None: not known here), and how many tasks a plan may have."""

    most: int
    tools: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None

    def read(self, file: Path | None, attached: tuple[Path, ...]) -> Plan | None:
        """Return the plan of a file (None: no file) for a task with these files; PlanInvalid names line and field."""
        if file is None:
            return None
        names = tuple(unique_names([path.name for path in attached]))
        return read_plan_file(file, Names(self.tools, names, self.agents, self.most))

    def accept(self, _principal: Principal, given: Handover) -> None:
        """Raise PlanInvalid where a task's plan names what is not here: its terminal may have known other things."""
        if given.plan is None:
            return
        attached = tuple(one.name for one in given.attachments)
        reader = Reader(of_plan(given.plan), Names(self.tools, attached, self.agents, self.most))
        if reader.plan() is None:
            raise invalid(reader.problems, "the plan", {})
