"""Watches how much writable folders grow, since no operating system bounds a folder portably."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence

INTERVAL_S = 0.02
# Walking large folders must not eat a core: at most this share of the time is spent on it.
MAX_SHARE = 0.2
# What an entry costs at least, so that a million empty files count too.
ENTRY_BYTES = 512


def folder_size(paths: Sequence[str]) -> int:
    """Return the bytes of all files below the folders, symbolic links not followed."""
    total = 0
    pending = list(paths)
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += ENTRY_BYTES
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


class Quota:
    """Kills when the folders grow by more than a limit; ``exceeded`` says that it did."""

    def __init__(self, paths: Sequence[str], limit: int) -> None:
        self._paths = paths
        self._limit = limit
        self._base = 0
        self.exceeded = False

    async def measure(self) -> None:
        """Take the size to measure growth from."""
        self._base = await asyncio.to_thread(folder_size, self._paths)

    async def check(self) -> bool:
        """Return whether the folders have grown over the limit."""
        size = await asyncio.to_thread(folder_size, self._paths)
        self.exceeded = self.exceeded or size - self._base > self._limit
        return self.exceeded

    async def watch(self, kill: Callable[[], None]) -> None:
        """Look again and again until cancelled; kill once it is too much."""
        while True:
            started = time.monotonic()
            if await self.check():
                kill()
                return
            took = time.monotonic() - started
            await asyncio.sleep(max(INTERVAL_S, took / MAX_SHARE))
