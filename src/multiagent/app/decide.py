"""Approvals from any terminal: what waits for a person, and what they say."""

import msgspec

from multiagent.agents.calls import Word
from multiagent.app.build import LOCAL_USER, TENANT
from multiagent.app.leaving import Steered, leave, steered
from multiagent.app.look import look
from multiagent.app.place import Place
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.pointer import assignment, put
from multiagent.core.tool import ASK_USER
from multiagent.orchestrator.approvals import DECISION, Approvals, Decision
from multiagent.storage.sql.base import ApprovalRow


async def approvals(place: Place, *, task: str = "", pending: bool = True) -> tuple[ApprovalRow, ...]:
    """Return what waits for a person, oldest first, or everything that ever did."""
    async with place.reader() as reader:
        return () if reader is None else await reader.approvals(TENANT, task=task, pending=pending)


async def approval(place: Place, identity: str) -> ApprovalRow:
    """Return an approval; NotFound where there is none."""
    async with place.reader() as reader:
        row = None if reader is None else await reader.approval(TENANT, identity)
    if row is None:
        raise NotFound(f"there is no approval {identity!r} here; `multiagent approvals list` shows those that wait")
    return row


async def decide(place: Place, identity: str, *, approved: bool, reason: str, sets: tuple[str, ...] = ()) -> Steered:
    """Approve or reject, with arguments changed as ``sets`` (``PATH=VALUE``) say; wait until it is taken.

    The decision is bound to the arguments as they are shown now. Raises NotFound, InvalidInput for one that was
    decided, has expired, or that the edit does not fit, PolicyDenied where policy denies the edited arguments.
    """
    row = await approval(place, identity)
    _check_open(row)
    edited = _edited(row, sets) if sets else ""
    decision = Decision(identity, Word(approved, reason=reason, arguments=edited), row.args_hash)
    return await steered(place, await _given(place, row.task, decision), row.task)


async def answer(place: Place, task: str, text: str, question: str = "") -> Steered:
    """Answer the oldest open question of a task's agents, or the one of this id; wait until it is taken.

    Raises NotFound for an unknown task, InvalidInput where nothing is asked, or the answer is empty.
    """
    if not text.strip():
        raise InvalidInput("the answer is empty; to give none, reject the question: multiagent approvals reject")
    asked = [row for row in await approvals(place, task=task) if row.tool == ASK_USER and question in ("", row.id)]
    if not asked:
        await look(place, task)
        raise InvalidInput(f"no agent of task {task} asks its user anything now")
    return await decide(place, asked[0].id, approved=True, reason="", sets=(f"answer={_json_text(text)}",))


async def _given(place: Place, task: str, decision: Decision) -> str:
    """Leave a decision, or take it where this process may write and nothing of it is to be checked by those who have
    the tools; return the command's id.
    """
    payload = msgspec.json.encode(decision)
    if not place.shared:
        return await leave(place, "decide", task, payload)
    if decision.word.arguments:
        return await leave(place, DECISION, task, payload)
    command = SystemIds()()
    async with place.storage() as storage:
        approvals = Approvals(storage.writer, storage.reader, SystemClock())
        await approvals.decide(LOCAL_USER, command, task, decision)
    return command


def _json_text(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _check_open(row: ApprovalRow) -> None:
    state = "expired" if row.state == "pending" and row.expires <= SystemClock().now() else row.state
    if state != "pending":
        by = f" by {row.decided_by}" if state in ("approved", "rejected") and row.decided_by else ""
        word = "was approved and used" if state == "consumed" else f"is {state}{by}"
        raise InvalidInput(f"approval {row.id} {word} already; nothing was changed")


def _edited(row: ApprovalRow, sets: tuple[str, ...]) -> str:
    if row.tool == "plan":
        raise InvalidInput("a plan cannot be edited; reject it, and ask for something else")
    arguments: object = msgspec.json.decode(row.arguments or b"{}")
    for one in sets:
        path, value = assignment(one)
        arguments = put(arguments, path, value)
    return msgspec.json.encode(arguments).decode()
