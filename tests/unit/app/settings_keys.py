"""Which settings have a test, and how a test sets one: as a user does, by its variable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from multiagent.config.settings import Settings
from multiagent.config.sources import PREFIX, load

TESTED: set[str] = set()


def key(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark the test of a key."""
    TESTED.add(name)
    return lambda test: test


def variables(**keys: object) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in keys.items()}


def configured(**keys: object) -> Settings:
    """The settings with these variables set: ``task__max_agents=2``."""
    return load(Path("/nowhere"), variables(**keys))


def leaves(value: object, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{path}.{name}".lstrip("."))}
