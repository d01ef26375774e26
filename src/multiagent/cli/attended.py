"""Who works on a place's tasks, in words: what to say where nobody has taken something yet."""

from multiagent.app.lacking import UNTAKEN
from multiagent.app.place import Place


def unattended(place: Place, task: str) -> str:
    """Return what to say where nobody may be at work on a task."""
    if place.served:
        return UNTAKEN
    return f"no process works on this home; go on with the task: multiagent tasks follow {task}"


def waits(place: Place, task: str) -> str:
    """Return what a command waits for that nobody has taken."""
    pid = place.owner()
    if pid is None:
        return unattended(place, task)
    return f"process {pid or 'unknown'} owns this home and is busy"
