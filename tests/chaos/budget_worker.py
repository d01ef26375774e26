"""A process that reserves, settles, loses and waits at random on a PostgreSQL that others use, too.

URL SEED COUNT LANES. Prints how often it was answered what.
"""

import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.errors import NotFound
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.ops import Lose, LoseOpen, Op, Reserve, Reserved, Settle

TENANT = "acme"
SCOPES = tuple(
    (kind, name, tokens) for kind, tokens in (("task", 150), ("user", 400), ("agent", None)) for name in "abcd"
)
WINDOW = 150
"""Reservations of a process after which its scopes are new ones."""
NOW = 1_750_000_000_000


class Mixer:
    """Makes up operations; remembers what was reserved here."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.name = f"w{seed % 2}"
        self.made = 0
        self.held: list[tuple[str, int]] = []
        self.tickets: list[tuple[str, tuple[ScopeLimit, ...]]] = []
        self.answers: Counter[str] = Counter()

    def mix(self) -> tuple[Op, ...]:
        return tuple(self._any() for _ in range(self.chance.choice((1, 1, 1, 2, 4))))

    def note(self, ops: tuple[Op, ...], answers: tuple[object, ...]) -> None:
        for op, answer in zip(ops, answers, strict=True):
            if isinstance(op, Reserve) and isinstance(answer, Reserved):
                verdict = type(answer.verdict).__name__
                self.answers[verdict] += 1
                if verdict == "Granted":
                    self.held.append((answer.id, op.need.tokens if answer.id == op.id else 0))
                elif verdict == "Wait" and op.ticket:
                    self.tickets.append((op.ticket, op.scopes))
            else:
                self.answers[type(op).__name__] += 1

    def _any(self) -> Op:
        chance = self.chance
        pick = chance.random()
        if pick < 0.5 or not self.held:
            return self._reserve()
        if pick < 0.53:
            return LoseOpen(tenant=TENANT, key=f"k{chance.randrange(40)}")
        if pick < 0.56 and self.tickets:
            return LeaveLine(tenant=TENANT, ticket=self.tickets.pop(0)[0])
        if pick < 0.58 and self.tickets:
            tickets = tuple(ticket for ticket, _ in self.tickets[-20:])
            return KeepPlaces(tenant=TENANT, tickets=tickets, expires=NOW + self.made + 100)
        name, most = f"w{chance.randrange(2)}-{max(1, self.made - chance.randint(100, 300))}", 0
        if pick < 0.95:
            name, most = self.held.pop(chance.randrange(len(self.held)))
        if pick < 0.7:
            return Lose(tenant=TENANT, reservation=name, time=NOW)
        return Settle(tenant=TENANT, reservation=name, billed=Amount(chance.randint(0, most)), time=NOW)

    def _reserve(self) -> Reserve:
        chance = self.chance
        self.made += 1
        ticket = f"{self.made:08}-{self.name}" if chance.random() < 0.5 else ""
        scopes = tuple(
            ScopeLimit(ScopeRef(kind, name, "day", self.made // WINDOW), Limit(tokens, 10**6))  # type: ignore[arg-type]
            for kind, name, tokens in chance.sample(SCOPES, chance.randint(1, 6))
        )
        if self.tickets and chance.random() < 0.3:
            ticket, scopes = self.tickets.pop(0)
        return Reserve(
            tenant=TENANT, id=f"{self.name}-{self.made}", key=f"k{chance.randrange(40)}", attempt=self.made,
            task=chance.choice("abcd"), scopes=scopes,
            need=Amount(chance.randint(0, 20), chance.randint(0, 9)), time=NOW + self.made, deadline=NOW,
            owner=self.name, ticket=ticket, expires=NOW + self.made + 50,
        )  # fmt: skip


async def lane(writer: Writer, mixer: Mixer, count: int) -> None:
    """Commit one mix after the other. A settle of what nobody has reserved takes its whole mix with it."""
    for _ in range(count):
        ops = mixer.mix()
        try:
            answers = await writer.commit(*ops)
        except NotFound:
            mixer.answers["NotFound"] += 1
        else:
            mixer.note(ops, answers)


async def main(url: str, seed: int, count: int, lanes: int) -> None:
    """Commit ``count`` mixes over so many lanes."""
    mixer = Mixer(seed)
    with tempfile.TemporaryDirectory() as home:
        async with open_storage(Path(home), clock=SystemClock(), ids=SystemIds(), url=url) as storage:
            await asyncio.gather(*(lane(storage.writer, mixer, count // lanes) for _ in range(lanes)))
    sys.stdout.write(msgspec.json.encode(mixer.answers).decode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
