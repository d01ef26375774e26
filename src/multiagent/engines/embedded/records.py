"""What the parts of the embedded engine hand each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.ids import Ids
from multiagent.core.outcome import OutcomeKind
from multiagent.engines.attempt import Ended, Work
from multiagent.engines.base import Step, Workflow
from multiagent.engines.kernel import Value
from multiagent.engines.timers import TimerQueue
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer


@dataclass(frozen=True, slots=True)
class Parts:
    """What an embedded engine is made of; ``owner`` names this process in leases."""

    writer: Writer
    reader: Reader
    objects: Objects
    clock: Clock
    ids: Ids
    timers: TimerQueue
    owner: str
    workflows: Mapping[str, Workflow[Any, Any]]
    steps: Mapping[str, Step[Any, Any]]


class Arrived(msgspec.Struct, frozen=True):
    """An outcome on its way into the journal. ``work`` and ``ended`` are a step's, for the commit it shares."""

    kind: OutcomeKind
    key: str
    value: Value = None
    carried: bytes = b""
    work: Work | None = None
    ended: Ended | None = None
