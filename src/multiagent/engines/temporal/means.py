"""What the activities of a process stand on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multiagent.core.clock import Clock
from multiagent.engines.base import Step
from multiagent.engines.timers import TimerQueue
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer


@dataclass(frozen=True, slots=True)
class Means:
    """``owner`` names this process in leases; ``steps`` are those of the services it does, by name."""

    writer: Writer
    reader: Reader
    objects: Objects
    clock: Clock
    timers: TimerQueue
    owner: str
    steps: Mapping[str, Step[Any, Any]]
