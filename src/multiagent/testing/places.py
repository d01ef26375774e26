"""A place made from a folder alone."""

from pathlib import Path

from multiagent.app.place import Place
from multiagent.config.settings import Places, Settings


def place_at(home: Path) -> Place:
    """Return the place of a home with the default settings, its cache beside it."""
    return Place(Places(str(home), str(home.with_name("cache"))), Settings())
