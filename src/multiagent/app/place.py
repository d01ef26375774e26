"""Where a platform is: its home, its database, and what is configured there. Every door is given this one value."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from multiagent.app.system import SystemClock, SystemIds
from multiagent.config.settings import Places, Settings
from multiagent.engines.factory import owner_of
from multiagent.storage.factory import Storage, open_inbox, open_objects, open_reader, open_storage
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Inbox, Reader


@dataclass(frozen=True, slots=True)
class Place:
    """A platform, seen from a process that need not be part of it. Making one opens nothing."""

    places: Places
    settings: Settings

    @property
    def home(self) -> Path:
        """The folder of its data."""
        return Path(self.places.home)

    @property
    def cache(self) -> Path:
        """The folder of what can be made again."""
        return Path(self.places.cache)

    @property
    def shared(self) -> bool:
        """Whether every process may write: the database is a server's, not a file with one owner."""
        return bool(self.settings.storage.url)

    @property
    def served(self) -> bool:
        """Whether services do its tasks, not a process that owns the home."""
        return self.settings.engine == "temporal"

    def owner(self) -> int | None:
        """Return the pid of the process that owns the home now (0 where it is not known yet); None where none does,
        as where services do its tasks.
        """
        return None if self.served else owner_of(self.home)

    def attended(self) -> bool:
        """Whether its tasks may be under way: a process owns the home, or services do them."""
        return self.served or self.owner() is not None

    def reader(self) -> AbstractAsyncContextManager[Reader | None]:
        """Open its database for reading only; None where there is none yet. Raises StorageError's children."""
        return open_reader(self.home, url=self.settings.storage.url, connections=self.settings.storage.connections)

    def storage(self) -> AbstractAsyncContextManager[Storage]:
        """Open all of storage, to write: where it is not shared, only who owns the home may.

        Raises StorageError's children.
        """
        where = self.settings.storage
        return open_storage(
            self.home, clock=SystemClock(), ids=SystemIds(), synchronous=where.synchronous, url=where.url,
            connections=where.connections,
        )  # fmt: skip

    def objects(self) -> Objects:
        """Return its objects, to which any process may add."""
        return open_objects(self.home)

    def inbox(self) -> AbstractAsyncContextManager[Inbox]:
        """Open what waits for the owner of the home. Raises StorageError's children at its first use."""
        return open_inbox(self.home)


class Eye:
    """Looks into a place as often as it is asked to, by one reader, opened once there is something to read."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._open = AsyncExitStack()
        self._reader: Reader | None = None

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the reader."""
        await self._open.aclose()

    async def reader(self) -> Reader | None:
        """Return the reader; None where there is nothing yet. Raises StorageError's children."""
        if self._reader is None:
            async with AsyncExitStack() as trial:
                self._reader = await trial.enter_async_context(self._place.reader())
                if self._reader is not None:
                    self._open.push_async_callback(trial.pop_all().aclose)
        return self._reader
