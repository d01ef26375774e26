"""Stepping through a run: forward, back, jumps and breakpoints. Pure but for what ``Terminal`` reads and prints."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol, get_args

import msgspec

from multiagent.app.travel import Stop, Walk
from multiagent.cli import travel_view as view
from multiagent.core.errors import InvalidInput
from multiagent.core.messages import Message

Kind = Literal["agent", "tool", "event"]
HELP: Final = """n, Enter     the next step          b            the one before
c            on to the next breakpoint             j N|STEP     jump to an outcome's number or a step's key
break KIND=VALUE   stop at an agent, tool or event (KIND agent, tool or event); break alone lists them
clear        forget the breakpoints  i, p, o      input, prompt, output: whole
s            the state here          l            all steps in a line each
h            this help               q            leave"""


class Breakpoint(msgspec.Struct, frozen=True):
    """Where to stop: at an agent's steps, at a tool's, or where an event of a kind was said."""

    kind: Kind
    value: str

    def hits(self, stop: Stop) -> bool:
        """Whether to stop here."""
        if self.kind == "event":
            return self.value in stop.kinds
        return self.value == (stop.agent if self.kind == "agent" else stop.tool)


class Terminal(Protocol):
    """What the stepper needs of a terminal."""

    def ask(self, prompt: str) -> str | None:
        """Return the next line without its end; None at the end of input."""
        ...

    def show(self, text: str) -> None:
        """Print."""
        ...


def breakpoint_of(text: str) -> Breakpoint:
    """Parse ``agent=t1``, ``tool=python`` or ``event=tool.failed``; InvalidInput where it is none of them."""
    name, _, value = text.partition("=")
    for kind in get_args(Kind):
        if name == kind and value:
            return Breakpoint(kind, value)
    raise InvalidInput(f"{text!r} is no breakpoint; write agent=ID, tool=NAME or event=KIND")


class Stepper:
    """One stay in a run. ``transcript`` fetches the messages up to a head."""

    def __init__(
        self,
        walk: Walk,
        transcript: Callable[[str], Awaitable[Sequence[Message]]],
        terminal: Terminal,
        breakpoints: Sequence[Breakpoint] = (),
    ) -> None:
        self._walk = walk
        self._transcript = transcript
        self._terminal = terminal
        self._breaks = list(breakpoints)
        self._at = 0

    async def run(self) -> None:
        """Step until the user leaves or the input ends."""
        self._terminal.show(view.moment(self._walk.moment(0)))
        self._terminal.show("h for help")
        while True:
            line = self._terminal.ask(f"[{self._at}/{len(self._walk.stops)}] ")
            if line is None or line.strip() in ("q", "quit", "exit"):
                return
            word, _, rest = line.strip().partition(" ")
            try:
                await self._do(word or "n", rest.strip())
            except InvalidInput as error:
                self._terminal.show(error.message)

    async def _do(self, word: str, rest: str) -> None:
        moves: dict[str, Callable[[str], int]] = {"n": self._next, "b": self._back, "c": self._run_on, "j": self._jump}
        tells: dict[str, Callable[[str], str]] = {
            "s": lambda _: view.moment(self._walk.moment(self._at)),
            "l": lambda _: "\n".join(map(view.headline, self._walk.stops)),
            "h": lambda _: HELP,
            "break": self._break,
            "clear": self._clear,
        }
        if word in moves:
            self._at = moves[word](rest)
            await self._show()
        elif word in tells:
            self._terminal.show(tells[word](rest))
        elif word in ("i", "p", "o") and self._at:
            await self._whole(word)
        else:
            raise InvalidInput("go to a step first: n" if word in ("i", "p", "o") else f"unknown: {word}; h for help")

    async def _show(self) -> None:
        if not self._at:
            self._terminal.show(view.moment(self._walk.moment(0)))
            return
        stop = self._walk.stops[self._at - 1]
        self._terminal.show(view.scene(stop, await self._transcript(stop.head)))

    async def _whole(self, what: str) -> None:
        stop = self._walk.stops[self._at - 1]
        if what == "p":
            prompt, _ = view.parted(stop, await self._transcript(stop.head))
            text = "\n".join(line for message in prompt for line in view.message_lines(message, whole=True))
        else:
            text = (stop.input if what == "i" else stop.output).decode("utf-8", "replace")
        self._terminal.show(text or "(none)")

    def _next(self, _: str) -> int:
        if self._at == len(self._walk.stops):
            raise InvalidInput("this is the last step; b goes back")
        return self._at + 1

    def _back(self, _: str) -> int:
        if not self._at:
            raise InvalidInput("this is the beginning; n goes forward")
        return self._at - 1

    def _jump(self, rest: str) -> int:
        if re.fullmatch(r"\d+", rest):
            if int(rest) > len(self._walk.stops):
                raise InvalidInput(f"the steps are numbered from 1 to {len(self._walk.stops)}")
            return int(rest)
        if not rest:
            raise InvalidInput("j needs an outcome's number or a step's key")
        return self._walk.cut(rest)

    def _run_on(self, _: str) -> int:
        for stop in self._walk.stops[self._at :]:
            if any(one.hits(stop) for one in self._breaks):
                return stop.n
        if self._at == len(self._walk.stops):
            raise InvalidInput("this is the last step; b goes back")
        return len(self._walk.stops)

    def _break(self, rest: str) -> str:
        if rest:
            self._breaks.append(breakpoint_of(rest))
        return "breakpoints: " + (", ".join(f"{one.kind}={one.value}" for one in self._breaks) or "none")

    def _clear(self, _: str) -> str:
        self._breaks.clear()
        return "breakpoints: none"
