"""Which engine runs: the only place that names engines."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiagent.core.clock import Clock
from multiagent.core.errors import ConfigInvalid
from multiagent.core.ids import Ids
from multiagent.engines.base import RecoveringEngine, Step, Workflow
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine stands on."""

    writer: Writer
    reader: Reader
    objects: Objects
    clock: Clock
    ids: Ids


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

    by_name = {one.name: one for one in workflows}
    codes = {one.definition.name: one for one in steps}
    if len(by_name) != len(workflows) or len(codes) != len(steps):
        raise ConfigInvalid("two workflows or two steps are registered under one name; rename one")
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
