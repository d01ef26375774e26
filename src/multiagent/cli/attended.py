"""Who works on a place's tasks, in words: what to say where nobody has taken something yet."""

from multiagent.app.place import Place

SERVE = "multiagent serve all"


def unattended(place: Place, task: str) -> str:
    """Return what to say where nobody may be at work on a task."""
    if place.served:
        return f"no service has taken it yet; start one: {SERVE}"
    return f"no process works on this home; go on with the task: multiagent tasks follow {task}"


def waits(place: Place, task: str) -> str:
    """Return what a command waits for that nobody has taken."""
    pid = place.owner()
    if pid is None:
        return unattended(place, task)
    return f"process {pid or 'unknown'} owns this home and is busy"
