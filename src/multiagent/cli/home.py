"""Which platform this command is about."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiagent.config.sources import PREFIX, load, places

if TYPE_CHECKING:
    from multiagent.app.place import Place

LOAD = Annotated[
    list[str] | None,
    typer.Option("--load", help="module:name of a tool or agent of your own; may be repeated."),
]


def here(loads: list[str] | None = None) -> "Place":
    """Return the place that this process's environment names; ``loads`` come to what it says is loaded.

    Processes that this one starts load the same.
    """
    from multiagent.app.place import Place

    if loads:
        variable = f"{PREFIX}LOAD"
        os.environ[variable] = ",".join(filter(None, (os.environ.get(variable, ""), *loads)))
    found = places(os.environ)
    return Place(found, load(Path(found.home), os.environ))


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
