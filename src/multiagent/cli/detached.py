"""Tasks that are left to a background owner, and tasks that are tried again."""

import os

from multiagent.app.ask import Ask
from multiagent.app.detach import LOG, accepted, start_owner
from multiagent.app.leaving import taken
from multiagent.app.place import Place
from multiagent.app.steer import hand_over, retry
from multiagent.cli import exits, output
from multiagent.cli.attended import unattended
from multiagent.cli.session import Stay, ready
from multiagent.cli.signals import until_stopped


async def detach(place: Place, wanted: Ask, manner: output.Manner) -> int:
    """Hand a task over, to a background owner that is started where none lives; print its id and leave it to that."""

    async def handed() -> int:
        await ready(place, manner)
        return await left(place, await hand_over(place, wanted, os.environ), manner)

    return await until_stopped(handed())


async def try_again(place: Place, task: str, manner: output.Manner, *, alone: bool) -> int:
    """Do a task that failed or was cancelled once more, as a new one; ``alone``: in the background."""

    async def tried() -> int:
        await ready(place, manner)
        again = await retry(place, task, os.environ)
        output.say(f"task {task} is tried again as task {again}")
        if alone:
            return await left(place, again, manner)
        return await Stay(place, again, manner, handed=True).to_its_end()

    return await until_stopped(tried())


async def left(place: Place, command: str, manner: output.Manner) -> int:
    """Leave a task to services, or to a background owner, started where none lives; print its id."""
    if place.served:
        return await _left_to_services(place, command, manner)
    process = start_owner(place, os.environ)
    task = await accepted(place, command, process)
    pid = place.owner()
    if manner.json:
        output.as_json({"task": task, "owner": pid})
    else:
        output.answer(task)
    if not manner.quiet:
        output.say(
            f"process {pid or process.pid} works on it (log: {place.home / LOG}). See: multiagent tasks follow {task}"
        )
    return exits.OK


async def _left_to_services(place: Place, command: str, manner: output.Manner) -> int:
    task = await taken(place, command)
    if manner.json:
        output.as_json({"task": task or command, "owner": None})
    else:
        output.answer(task or command)
    if task is None:
        output.say(f"task {command} is kept and waits: {unattended(place, command)}")
    elif not manner.quiet:
        output.say(f"task {task} is with the services. See: multiagent tasks follow {task}")
    return exits.OK
