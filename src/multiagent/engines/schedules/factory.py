"""Which engine keeps the time of schedules: the only place that names its keepers."""

from multiagent.core.clock import Clock
from multiagent.core.ids import Ids
from multiagent.engines.schedules.base import SchedulesHere
from multiagent.storage.sql.base import Reader, Writer


def embedded_schedules(writer: Writer, reader: Reader, clock: Clock, ids: Ids) -> SchedulesHere:
    """Return what keeps schedules on the embedded engine of this process."""
    from multiagent.engines.embedded.schedules import EmbeddedSchedules
    from multiagent.engines.schedules.book import Book

    return EmbeddedSchedules(Book(writer, reader, clock), writer, ids)
