"""What the code of steps works with: the ports it is given, and the limits that hold beyond one task."""

from dataclasses import dataclass

import msgspec

from multiagent.core.budget import Limit
from multiagent.core.clock import Clock
from multiagent.core.money import PICO
from multiagent.llm.base import Gate
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer
from multiagent.tools.base import Runner


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that steps use."""

    writer: Writer
    reader: Reader
    objects: Objects
    gate: Gate
    runner: Runner
    clock: Clock


class Limits(msgspec.Struct, frozen=True):
    """Limits of the scopes above a task, and how long a person has to approve (seconds)."""

    session: Limit = Limit()
    user_day: Limit = Limit(None, 100 * PICO)
    tenant_day: Limit = Limit()
    approval_s: int = 604_800
