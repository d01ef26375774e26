"""Starting a background owner: a process of its own, in a session of its own, that outlives the terminal."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Final

from multiagent.app.leaving import taken
from multiagent.app.place import Place
from multiagent.core.errors import EngineUnavailable, StorageError

LOG: Final = "owner.log"
MOST_LOG: Final = 1 << 20
"""A longer log is kept aside (``owner.log.1``) when the next owner starts."""

START_S: Final = 30.0
POLL_S: Final = 0.05


def start_owner(place: Place, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a background owner of the home; where another process owns it, its turn comes after that one.

    Raises StorageError where the log cannot be written.
    """
    home, log = place.home, place.home / LOG
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MOST_LOG:
            log.replace(log.with_suffix(".log.1"))
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{log} cannot be written: {error.strerror}; check the folder") from error
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "multiagent.app.owner"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env={**environment, "MULTIAGENT_HOME": str(home.absolute())},
        )
    finally:
        os.close(descriptor)


async def accepted(place: Place, command: str, owner: subprocess.Popen[bytes]) -> str:
    """Wait until a task handed over is accepted; return its id. Raises what it was refused with, EngineUnavailable
    where the owner that was started for it ended before that, or did not start in time: the task waits then.
    """
    until = time.monotonic() + START_S
    while True:
        task = await taken(place, command, POLL_S)
        if task is not None:
            return task
        ended = owner.poll()
        if ended not in (None, 0) or time.monotonic() > until:
            how = "did not start in time" if ended is None else f"ended with code {ended}"
            raise EngineUnavailable(
                f"the background owner {how}; task {command} is kept. See {place.home / LOG}, then go on with: "
                f"multiagent tasks follow {command}"
            )
        await asyncio.sleep(POLL_S)
