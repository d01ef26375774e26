"""``multiagent tasks events``: what happened, filtered, also while it happens."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from multiagent.cli import output
from multiagent.cli.home import here
from multiagent.core.errors import InvalidInput
from multiagent.core.events import TASK_ENDS, Event, EventKind

if TYPE_CHECKING:
    from multiagent.app.place import Place


class Filter(msgspec.Struct, frozen=True):
    """Which events are shown; an empty field lets all pass."""

    kinds: frozenset[EventKind] = frozenset()
    agents: frozenset[str] = frozenset()

    def passes(self, event: Event) -> bool:
        """Whether an event is one of these."""
        if self.kinds and event.header.kind not in self.kinds:
            return False
        return not self.agents or bool(self.agents & agents_of(event))


class _Named(msgspec.Struct, frozen=True):
    agent: str = ""


def agents_of(event: Event) -> frozenset[str]:
    """Return whose an event is: the agent of its step, and the one that its payload names."""
    parts = event.header.key.split("/")
    named = msgspec.json.decode(event.payload, type=_Named).agent if event.payload else ""
    return frozenset(one for one in (named, parts[1] if parts[0] == "a" and len(parts) > 2 else "") if one)


def register(app: typer.Typer) -> None:
    """Add this command to ``multiagent tasks``."""
    app.command("events")(events)


def events(
    task: Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")],
    after: Annotated[int, typer.Option("--after", min=0, help="Only events with a higher number.")] = 0,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only these kinds (tool.*: all of a sort); may be repeated.")
    ] = None,
    agent: Annotated[list[str] | None, typer.Option("--agent", help="Only this agent's; may be repeated.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task has ended.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a task's events in order; with --json one JSON document a line."""
    import asyncio

    wanted = Filter(frozenset(one for text in kind or () for one in kinds(text)), frozenset(agent or ()))
    place = here()
    asyncio.run(_print(place, task, after, wanted, follow=follow, json=json))


async def _print(place: "Place", task: str, after: int, wanted: Filter, *, follow: bool, json: bool) -> None:
    from multiagent.app.look import task_events
    from multiagent.app.steer import watch_place
    from multiagent.cli.attended import unattended

    ended = False
    for event in await task_events(place, task, 0 if follow else after):
        ended = ended or event.header.kind in TASK_ENDS
        if event.header.seq > after:
            after = event.header.seq
            show(event, wanted, json=json)
    if not follow or ended:
        return
    async for event in watch_place(place, task, after):
        ended = event.header.kind in TASK_ENDS
        show(event, wanted, json=json)
    if not ended:
        output.say(unattended(place, task))


def kinds(text: str) -> tuple[EventKind, ...]:
    """Return the kinds that a text names: one, or with ``.*`` all of a sort; InvalidInput where there is none."""
    sort = text.removesuffix("*") if text.endswith(".*") else ""
    found = tuple(one for one in EventKind if one == text or (sort and one.startswith(sort)))
    if not found:
        raise InvalidInput(f"unknown kind of event {text!r}; there are: {', '.join(EventKind)}")
    return found


def show(event: Event, wanted: Filter, *, json: bool) -> None:
    """Print an event that passes."""
    if not wanted.passes(event):
        return
    if json:
        output.json_line({"header": event.header, "payload": msgspec.Raw(event.payload or b"null")})
        return
    header = event.header
    when = dt.datetime.fromtimestamp(header.time / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    output.answer(f"{header.seq:>5}  {when}  {header.kind:<20} {header.key:<32} {event.payload.decode()[:160]}")
