"""``multiagent tasks prune`` and ``multiagent sessions``: what is kept."""

import datetime as dt
import re
from typing import Annotated, Final, TypeAlias

import typer

from multiagent.cli import output
from multiagent.cli.home import here
from multiagent.core.errors import InvalidInput, NotFound

sessions_app = typer.Typer(help="List, show and forget sessions.", no_args_is_help=True, rich_markup_mode=None)
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SESSION: TypeAlias = Annotated[str, typer.Argument(help="A session's name.", metavar="SESSION")]

_UNITS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_UNITS_BYTES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def register(app: typer.Typer) -> None:
    """Add ``prune`` to ``multiagent tasks``."""
    app.command("prune")(prune)


def prune(
    older_than: Annotated[str, typer.Option("--older-than", help="Tasks that ended longer ago: 12h, 30d, 8w.")] = "",
    keep_bytes: Annotated[
        str, typer.Option("--keep-bytes", help="The oldest, until no more than this is held: 500MB, 2GB.")
    ] = "",
    archive: Annotated[
        str, typer.Option("--archive", help="A file to append to, objects (of the home), or none.")
    ] = "objects",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    json: JSON = False,
) -> None:
    """Take away what finished tasks hold, by age and size; their bills and the proofs of their events stay."""
    import asyncio

    from multiagent.app import retention

    place = here()
    where = "" if archive == "none" else archive
    older, most = (milliseconds(older_than) if older_than else None), (size(keep_bytes) if keep_bytes else None)
    kept = asyncio.run(retention.prune(place, older, most, where, dry=dry_run))
    if json:
        output.as_json({"dry_run": dry_run, "tasks": kept.tasks, "bytes": kept.bytes, "left_bytes": kept.left_bytes})
        return
    for one in kept.tasks:
        output.answer(f"{one.task}  {one.archive}".rstrip())
    word = "would be pruned" if dry_run else "are pruned" if kept.delivered else "will be pruned by the home's owner"
    output.say(f"{len(kept.tasks)} tasks {word}: {kept.bytes:,} bytes; {kept.left_bytes:,} stay")


def milliseconds(text: str) -> int:
    """Parse ``90m``, ``12h``, ``30d``, ``8w``; InvalidInput where it is none of them."""
    hit = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if hit is None:
        raise InvalidInput(f"{text!r} is no age; write a number with m, h, d or w, such as 30d")
    return int(hit[1]) * _UNITS_MS[hit[2]]


def size(text: str) -> int:
    """Parse ``500000``, ``500kB``, ``500MB``, ``2GB``; InvalidInput where it is none of them."""
    hit = re.fullmatch(r"(\d{1,12})\s*([kmg]?)b?", text, re.IGNORECASE)
    if hit is None:
        raise InvalidInput(f"{text!r} is no size; write a number of bytes, or one with kB, MB or GB")
    return int(hit[1]) * _UNITS_BYTES[hit[2].lower()]


@sessions_app.command("list")
def list_sessions(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 50,
    json: JSON = False,
) -> None:
    """List sessions, newest first."""
    import asyncio

    from multiagent.app.sessions import sessions

    place = here()
    rows = asyncio.run(sessions(place, limit))
    if json:
        output.as_json(rows)
        return
    if not rows:
        output.say("no sessions yet; begin one with: multiagent run QUERY --session NAME")
    for row in rows:
        when = dt.datetime.fromtimestamp(row.created / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        output.answer(f"{row.id:<24}  {when}  {row.tokens_used:>10,} tokens")


@sessions_app.command("show")
def show(session: SESSION, json: JSON = False) -> None:
    """Show what a session remembers: its tasks with the facts of their answers, open questions, files."""
    import asyncio

    from multiagent.app.sessions import look

    place = here()
    limit = place.settings.budget.session_tokens
    found = asyncio.run(look(place, session))
    if found is None:
        raise NotFound(f"there is no session {session!r} here; `multiagent sessions list` shows those there are")
    row, memory = found
    if json:
        output.as_json({"session": row, "limit_tokens": limit, "turns": memory.turns, "files": memory.files})
        return
    of = f" of {limit:,}" if limit is not None else ""
    output.answer(f"session {row.id}: {len(memory.turns)} tasks remembered, {row.tokens_used:,}{of} tokens used")
    for number, turn in enumerate(memory.turns, 1):
        output.answer(f"{number}. {turn.query}  [{turn.task}]")
        output.answer("\n".join(f"     {line}" for line in turn.answer.splitlines()) or "     (no answer)")
        for one in turn.open:
            output.answer(f"     open: {one}")
    for name, file in memory.files.items():
        output.answer(f"file {name}  {file.size:,} bytes  {file.object[:12]}")


@sessions_app.command("forget")
def forget(session: SESSION) -> None:
    """Forget what a session remembers; its tasks and their bills stay."""
    import asyncio

    from multiagent.app.retention import keeping

    place = here()
    done = asyncio.run(keeping(place, "forget", session.encode()))
    output.say(f"session {session} is forgotten" if done else f"the home's owner will forget session {session}")
