"""Which engine keeps the time of schedules: the only place that names its keepers."""

from typing import TYPE_CHECKING

from multiagent.core.clock import Clock
from multiagent.core.ids import Ids
from multiagent.engines.schedules.base import SchedulesHere
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer

if TYPE_CHECKING:
    from multiagent.engines.temporal.options import TemporalOptions
    from multiagent.engines.temporal.schedules import TemporalSchedules


def embedded_schedules(writer: Writer, reader: Reader, clock: Clock, ids: Ids) -> SchedulesHere:
    """Return what keeps schedules on the embedded engine of this process."""
    from multiagent.engines.embedded.schedules import EmbeddedSchedules
    from multiagent.engines.schedules.book import Book

    return EmbeddedSchedules(Book(writer, reader, clock), writer, ids)


def temporal_schedules(
    options: "TemporalOptions", objects: Objects, writer: Writer, reader: Reader, clock: Clock, ids: Ids
) -> "TemporalSchedules":
    """Return what keeps schedules on a Temporal server; it needs none to be made."""
    from multiagent.engines.schedules.book import Book
    from multiagent.engines.temporal.connect import Link
    from multiagent.engines.temporal.schedules import TemporalSchedules

    return TemporalSchedules(Link(options, objects), Book(writer, reader, clock), writer, clock, ids)
