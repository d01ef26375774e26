"""The workflows of this process by name, as the pump finds them: filled once, before a worker starts.

The one thing that is global here, since Temporal makes a workflow's object itself and hands it nothing but its input.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from multiagent.core.errors import ConfigInvalid, EngineUnavailable
from multiagent.engines.base import Workflow

_frozen: list[Mapping[str, Workflow[Any, Any]]] = []


@contextmanager
def freeze(workflows: Sequence[Workflow[Any, Any]]) -> Iterator[None]:
    """Let the pump find these for a block, within which they do not change. ConfigInvalid where two have one name, or
    where others are frozen in this process.
    """
    wanted = {one.name: one for one in workflows}
    if len(wanted) != len(workflows):
        raise ConfigInvalid("two workflows are registered under one name; rename one")
    if _frozen and any(_frozen[-1].get(name) is not one for name, one in wanted.items()):
        raise ConfigInvalid("this process runs workers with other workflows already; start another process for these")
    table = _frozen[-1] if _frozen else MappingProxyType(wanted)
    _frozen.append(table)
    try:
        yield
    finally:
        _frozen.remove(table)


def find(name: str) -> Workflow[Any, Any]:
    """Return a workflow; EngineUnavailable where this process has none of that name: another may."""
    found = _frozen[-1].get(name) if _frozen else None
    if found is None:
        known = ", ".join(sorted(_frozen[-1])) if _frozen else "none"
        raise EngineUnavailable(f"no workflow {name!r} is registered in this process; registered: {known}")
    return found
