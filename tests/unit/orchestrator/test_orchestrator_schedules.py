"""What is asked of schedules by commands, and how their runs are accepted."""

import msgspec
import pytest

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.principal import Principal
from multiagent.core.schedule import Schedule, Span
from multiagent.orchestrator.schedules import KIND, Backfill, Create, Delete, Pause, Trigger, Unpause, Update, Wish, do
from multiagent.storage.sql.base import CommandRow

WHO = Principal("tenant", "ada")
OFTEN = Schedule("often", "do it", Principal("tenant", "somebody else"), every_s=60)


class Asked:
    """Keeps no schedules, but what it was asked."""

    def __init__(self, *, unknown: bool = False) -> None:
        self.asked: list[tuple[object, ...]] = []
        self._unknown = unknown

    async def create(self, tenant: str, schedule: Schedule, id: str) -> None:  # noqa: A002 - the name of the port
        self.asked.append(("create", tenant, schedule.id, schedule.principal.user, id))

    async def update(self, tenant: str, schedule: Schedule) -> None:
        self.asked.append(("update", tenant, schedule.id, schedule.principal.user))

    async def pause(self, tenant: str, schedule: str, note: str) -> None:
        self.asked.append(("pause", tenant, schedule, note))

    async def unpause(self, tenant: str, schedule: str, note: str) -> None:
        self.asked.append(("unpause", tenant, schedule, note))

    async def trigger(self, tenant: str, schedule: str, time: int) -> None:
        self.asked.append(("trigger", tenant, schedule, time))

    async def backfill(self, tenant: str, schedule: str, span: Span) -> None:
        self.asked.append(("backfill", tenant, schedule, span))

    async def delete(self, tenant: str, schedule: str) -> None:
        if self._unknown:
            raise NotFound("gone")
        self.asked.append(("delete", tenant, schedule))

    async def settle(self) -> None:
        self.asked.append(("settle",))


def command(payload: bytes) -> CommandRow:
    return CommandRow("tenant", "c1", "often", KIND, payload, msgspec.json.encode(WHO), 7)


WISHES: "list[tuple[Wish, tuple[object, ...]]]" = [
    (Create(OFTEN), ("create", "tenant", "often", "ada", "c1")),
    (Update(OFTEN), ("update", "tenant", "often", "ada")),
    (Pause("why"), ("pause", "tenant", "often", "why")),
    (Unpause(), ("unpause", "tenant", "often", "")),
    (Trigger(), ("trigger", "tenant", "often", 7)),
    (Backfill(Span(1, 2)), ("backfill", "tenant", "often", Span(1, 2))),
    (Delete(), ("delete", "tenant", "often")),
]


@pytest.mark.parametrize(("wish", "asked"), WISHES, ids=lambda one: type(one).__name__)
async def test_a_command_is_done_for_who_gave_it_whomever_it_names(wish: Wish, asked: "tuple[object, ...]") -> None:
    schedules = Asked()
    await do(schedules, command(msgspec.json.encode(wish)))
    assert schedules.asked == [asked]


async def test_a_deletion_that_was_done_before_a_kill_is_done() -> None:
    await do(Asked(unknown=True), command(msgspec.json.encode(Delete())))


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"type":"fly"}', b'{"type":"backfill"}', b"\xff"])
async def test_a_command_that_cannot_be_read_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput, match="another version"):
        await do(Asked(), command(payload))
