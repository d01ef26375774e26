"""Which engine runs: the only place that names engines."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from multiagent.core.clock import Clock
from multiagent.core.errors import ConfigInvalid
from multiagent.core.ids import Ids
from multiagent.core.step import Queue
from multiagent.engines.base import RecoveringEngine, ServedEngine, Step, Workers, Workflow
from multiagent.engines.schedules.base import SchedulesHere
from multiagent.engines.temporal.options import Load, TemporalOptions
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer

if TYPE_CHECKING:
    from multiagent.engines.temporal.ground import Ground
    from multiagent.engines.temporal.schedules import TemporalSchedules

INSTALL: Final = 'the engine on Temporal needs optional packages: pip install "multiagent[temporal]"'


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine stands on; ``schedules`` are those whose time an orchestrator's workers on Temporal keep."""

    writer: Writer
    reader: Reader
    objects: Objects
    clock: Clock
    ids: Ids
    schedules: "TemporalSchedules | None" = None


def own_home(home: Path) -> AbstractContextManager[None]:
    """Own a home, made where it is missing, for a block: before its storage is opened.

    Raises EngineOwned where another process owns it, StorageError where it cannot be written.
    """
    from multiagent.engines.embedded.lock import own

    return own(home)


def owner_of(home: Path) -> int | None:
    """Return the pid of the process that owns a home now (0 where it is not known yet); None where none does."""
    from multiagent.engines.embedded.lock import owner

    return owner(home)


@asynccontextmanager
async def open_engine(
    home: Path | None, parts: EngineParts, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[Step[Any, Any]]
) -> AsyncIterator[RecoveringEngine]:
    """Open the embedded engine on a home and own it for the block; None: the caller owns it already (``own_home``).

    ``recover()`` goes on with what was under way. Raises EngineOwned where another process owns the home,
    ConfigInvalid where two workflows or two steps have one name.
    """
    from multiagent.engines.embedded.engine import EmbeddedEngine
    from multiagent.engines.embedded.lock import own
    from multiagent.engines.embedded.records import Parts
    from multiagent.engines.timers import TimerQueue

    by_name, codes = _by_name(workflows, steps)
    with own(home) if home is not None else nullcontext():
        made = Parts(
            parts.writer, parts.reader, parts.objects, parts.clock, parts.ids, TimerQueue(parts.clock), parts.ids(),
            by_name, codes,
        )  # fmt: skip
        engine = EmbeddedEngine(made)
        try:
            yield engine
        finally:
            await engine.close()


@asynccontextmanager
async def open_temporal(
    options: TemporalOptions,
    parts: EngineParts,
    workflows: Sequence[Workflow[Any, Any]],
    steps: Sequence[Step[Any, Any]] = (),
) -> AsyncIterator[ServedEngine]:
    """Open the engine on Temporal as its callers need it: nothing runs in this process.

    It needs no server to open: calls are EngineUnavailable while there is none. ``steps`` are those whose results this
    process can show to people, for edits. Raises ConfigInvalid for a wrong key and where the packages are missing.
    """
    ground = _ground(options, parts, workflows, steps)
    from multiagent.engines.temporal.engine import TemporalEngine

    yield TemporalEngine(ground)


async def count_workers(options: TemporalOptions, objects: Objects, services: Sequence[Queue]) -> tuple[int, ...]:
    """Return how many processes do the steps of each service now, of an orchestrator those that run workflows.

    Raises EngineUnavailable where the server is away, ConfigInvalid as ``open_temporal`` does.
    """
    with _packages():
        from multiagent.engines.temporal.connect import Link
        from multiagent.engines.temporal.pending import polled

    return await polled(Link(options, objects), services)


@asynccontextmanager
async def open_workers(
    options: TemporalOptions,
    parts: EngineParts,
    workflows: Sequence[Workflow[Any, Any]],
    steps: Sequence[Step[Any, Any]],
    services: Sequence[Queue],
    load: Load = Load(),  # noqa: B008 — frozen
) -> AsyncIterator[Workers]:
    """Do the steps of some services in this process, on Temporal, for the block; of an orchestrator also the workflows.

    It needs no server to open: the workers are ready once they have found one. ``drain`` gives running steps up to
    ``load.grace_s``; those of a block that ends without it are stopped, and run again elsewhere. Raises ConfigInvalid
    for a wrong key, for two workflows or steps of one name, and where the packages are missing.
    """
    own = [step for step in steps if step.definition.queue in services]
    ground = _ground(options, parts, workflows, own)
    from multiagent.engines.temporal.table import freeze
    from multiagent.engines.temporal.workers import working

    with freeze(workflows):
        looks = None if parts.schedules is None else parts.schedules.looks
        async with working(ground, services, load, looks) as workers:
            yield workers


def embedded_schedules(parts: EngineParts) -> SchedulesHere:
    """Return what keeps schedules on the embedded engine of this process."""
    from multiagent.engines.embedded.schedules import EmbeddedSchedules
    from multiagent.engines.schedules.book import Book

    return EmbeddedSchedules(Book(parts.writer, parts.reader, parts.clock), parts.writer, parts.ids)


def temporal_schedules(options: TemporalOptions, parts: EngineParts) -> "TemporalSchedules":
    """Return what keeps schedules on a Temporal server; it needs none to be made. Raises ConfigInvalid where the
    packages are missing.
    """
    with _packages():
        from multiagent.engines.schedules.book import Book
        from multiagent.engines.temporal.connect import Link
        from multiagent.engines.temporal.schedules import TemporalSchedules

    book = Book(parts.writer, parts.reader, parts.clock)
    return TemporalSchedules(Link(options, parts.objects), book, parts.writer, parts.clock, parts.ids)


def _ground(
    options: TemporalOptions,
    parts: EngineParts,
    workflows: Sequence[Workflow[Any, Any]],
    steps: Sequence[Step[Any, Any]],
) -> "Ground":
    with _packages():
        from multiagent.engines.temporal.connect import Link
        from multiagent.engines.temporal.ground import Ground

    by_name, codes = _by_name(workflows, steps)
    link = Link(options, parts.objects)
    return Ground(link, parts.writer, parts.reader, parts.objects, parts.clock, parts.ids(), by_name, codes)


@contextmanager
def _packages() -> Iterator[None]:
    """Say what to install where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigInvalid(f"{INSTALL} ({error.name} is missing)") from None


def _by_name(
    workflows: Sequence[Workflow[Any, Any]], steps: Sequence[Step[Any, Any]]
) -> tuple[dict[str, Workflow[Any, Any]], dict[str, Step[Any, Any]]]:
    by_name = {one.name: one for one in workflows}
    codes = {one.definition.name: one for one in steps}
    if len(by_name) != len(workflows) or len(codes) != len(steps):
        raise ConfigInvalid("two workflows or two steps are registered under one name; rename one")
    return by_name, codes
