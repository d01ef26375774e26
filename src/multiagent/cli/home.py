"""Where this command keeps its data, and the settings in force."""

import os
from pathlib import Path

from multiagent.config.settings import Places, Settings
from multiagent.config.sources import load, places


def here() -> tuple[Places, Settings]:
    """Return places and settings from this process's environment."""
    found = places(os.environ)
    return found, load(Path(found.home), os.environ)


def crash_file(text: str) -> str:
    """Keep the details of an unexpected error under home; return the file, or nothing where that fails too."""
    try:
        path = Path(places(os.environ).home) / "crash.log"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError:
        return ""
    return str(path)
