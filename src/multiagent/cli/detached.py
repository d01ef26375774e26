"""Tasks that are left to a background owner, and tasks that are tried again."""

import os
from pathlib import Path

from multiagent.app.ask import Ask
from multiagent.app.detach import LOG, accepted, start_owner
from multiagent.app.steer import hand_over, owner, retry
from multiagent.cli import exits, output
from multiagent.cli.session import Stay, prepare
from multiagent.cli.signals import until_stopped
from multiagent.config.settings import Places, Settings


async def detach(places: Places, settings: Settings, wanted: Ask, manner: output.Manner) -> int:
    """Hand a task over, to a background owner that is started where none lives; print its id and leave it to that."""

    async def handed() -> int:
        await prepare(places, manner)
        return await left(places, await hand_over(places, settings, wanted, os.environ), manner)

    return await until_stopped(handed())


async def try_again(places: Places, settings: Settings, task: str, manner: output.Manner, *, alone: bool) -> int:
    """Do a task that failed or was cancelled once more, as a new one; ``alone``: in the background."""

    async def tried() -> int:
        await prepare(places, manner)
        again = await retry(places, settings, task, os.environ)
        output.say(f"task {task} is tried again as task {again}")
        if alone:
            return await left(places, again, manner)
        return await Stay(places, settings, again, manner, handed=True).to_its_end()

    return await until_stopped(tried())


async def left(places: Places, command: str, manner: output.Manner) -> int:
    """Leave a task that is handed over to a background owner, started where none lives; print its id."""
    home = Path(places.home)
    process = start_owner(home, os.environ)
    task = await accepted(home, command, process)
    pid = owner(home)
    if manner.json:
        output.as_json({"task": task, "owner": pid})
    else:
        output.answer(task)
    if not manner.quiet:
        output.say(f"process {pid or process.pid} works on it (log: {home / LOG}). See: multiagent tasks follow {task}")
    return exits.OK
