"""Which settings have a test, and how a test sets one: as a user does, by its variable."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multiagent.config.settings import Settings
from multiagent.config.sources import PREFIX, load
from tests.house.tree import ROOT


def key(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark the test of a key."""
    return lambda test: test


def marked() -> set[str]:
    """The keys that any test is marked with."""
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for text in texts for name in re.findall(r'^@key\("([\w.]+)"\)', text, re.MULTILINE)}


def variables(**keys: object) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in keys.items()}


def configured(**keys: object) -> Settings:
    """The settings with these variables set: ``task__max_agents=2``."""
    return load(Path("/nowhere"), variables(**keys))


def leaves(value: object, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{path}.{name}".lstrip("."))}
