"""The live view on stderr: the DAG redrawn in place on a terminal, a line an event elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from multiagent.cli import output
from multiagent.cli.output import plain
from multiagent.cli.view import AgentView, View, apply
from multiagent.core.events import Event
from multiagent.core.money import show_usd

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_MARKS: Final = {
    "planned": ("○", "dim"),
    "thinking": ("●", "cyan"),
    "acting": ("●", "yellow"),
    "observing": ("●", "cyan"),
    "waiting_approval": ("◆", "magenta"),
    "waiting_input": ("?", "magenta"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
    "cancelled": ("✗", "dim"),
}


class LiveView:
    """Shows one task's progress while its ``with`` block is open."""

    def __init__(self, task: str, *, quiet: bool = False) -> None:
        self.view = View(task)
        self._quiet = quiet
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin."""
        if not self._quiet and output.colored():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=8, get_renderable=self._draw)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def take(self, event: Event) -> None:
        """Take an event in."""
        line = apply(self.view, event)
        if line and self._live is None and not self._quiet:
            output.say(f"[{self.view.task[-6:]}] {line}")

    def _draw(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        now = time.time_ns() // 1_000_000
        view = self.view
        head = f"{view.task}  {view.status}  {view.mode}".rstrip()
        table = Table(title=head, title_justify="left", box=None, padding=(0, 1, 0, 0), expand=True)
        table.add_column("", width=1)
        table.add_column("agent", no_wrap=True, ratio=1, overflow="ellipsis")
        for column, narrowest in (("after", 5), ("state", 9)):
            table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=narrowest, max_width=18)
        for column in ("tokens", "cost", "time"):
            table.add_column(column, justify="right", no_wrap=True, min_width=7)
        for agent in view.agents.values():
            mark, style = _MARKS.get(agent.state, ("·", ""))
            table.add_row(mark, *map(Text, _cells(agent, now)), style=style)
        total = (view.ended or now) - view.started if view.started else 0
        table.add_row("", "", "", "", f"{view.tokens:,}", show_usd(view.cost_pico), f"{total / 1000:.1f}s")
        return table


def _cells(agent: AgentView, now: int) -> tuple[str, ...]:
    state = f"{agent.state} {agent.doing}".strip()
    return (
        plain(f"{agent.id} {agent.title}"),
        ", ".join(agent.depends_on),
        state,
        f"{agent.tokens:,}",
        show_usd(agent.cost_pico),
        f"{agent.elapsed(now) / 1000:.1f}s" if agent.started else "",
    )
