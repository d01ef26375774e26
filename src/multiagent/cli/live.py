"""The live view on stderr: the DAG redrawn in place on a terminal, a line an event elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from multiagent.cli import output
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

        now = time.time_ns() // 1_000_000
        view = self.view
        head = f"{view.task}  {view.status}  {view.mode}".rstrip()
        table = Table(title=head, title_justify="left", box=None, padding=(0, 1), show_edge=False)
        for column in ("", "agent", "after", "state", "tokens", "cost", "time"):
            table.add_column(column, justify="right" if column in {"tokens", "cost", "time"} else "left", no_wrap=True)
        for agent in view.agents.values():
            mark, style = _MARKS.get(agent.state, ("·", ""))
            table.add_row(mark, *_cells(agent, now), style=style)
        total = (view.ended or now) - view.started if view.started else 0
        table.add_row("", "", "", "", f"{view.tokens:,}", show_usd(view.cost_pico), f"{total / 1000:.1f}s")
        return table


def _cells(agent: AgentView, now: int) -> tuple[str, ...]:
    state = f"{agent.state} {agent.doing}".strip()
    title = agent.title if len(agent.title) <= 48 else agent.title[:47] + "…"
    return (
        f"{agent.id} {title}",
        ", ".join(agent.depends_on),
        state,
        f"{agent.tokens:,}",
        show_usd(agent.cost_pico),
        f"{agent.elapsed(now) / 1000:.1f}s" if agent.started else "",
    )
