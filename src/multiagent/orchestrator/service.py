"""Where tasks come in. A task is accepted once its row and its ``submit`` command are committed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from multiagent.core.canonical import digest
from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import TaskSubmitted
from multiagent.core.ids import Ids
from multiagent.core.plan import Plan
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.core.task import TaskInput
from multiagent.orchestrator.handover import Handover, Host
from multiagent.orchestrator.uploads import Uploads
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import AppendEvent, CreateTask, Op, PutSession, PutUser, StoreCommand, TaskCreated

QUERY_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Submission:
    """What a door asks for. ``settings`` are frozen with the task. The same ``idempotency_key`` is the same task.

    ``session_tokens`` is the budget of a session that is new with this task; None keeps the column's default.
    """

    principal: Principal
    query: str
    files: tuple[Path, ...] = ()
    settings: TaskSettings = TaskSettings()  # noqa: RUF009 — frozen
    session: str = ""
    session_tokens: int | None = None
    end_user: str = ""
    idempotency_key: str = ""
    plan: Plan | None = None
    recalled: tuple[str, ...] = ()


Recall = Callable[[Principal, Handover], Awaitable[Handover]]
"""Adds to a task what its session remembers; see ``Sessions.recall``."""

Accepts = Callable[[Principal, Handover], None]
"""Raises PlanInvalid where a task asks for what this process does not have."""


class Service:
    """Accepts tasks and what is asked of them. ``wake`` tells the dispatcher that there is something to deliver."""

    def __init__(
        self,
        writer: Writer,
        uploads: Uploads,
        clock: Clock,
        ids: Ids,
        wake: Callable[[], None] = lambda: None,
        accepts: Accepts = lambda _principal, _given: None,
    ) -> None:
        self._writer = writer
        self._uploads = uploads
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._accepts = accepts
        self.recall: Recall | None = None
        """Set where tasks may belong to sessions; without one they are told nothing of theirs."""
        self.host = Host()
        """What this process has: a task that it accepts itself is gone on with only by one that has it, too."""

    async def submit(self, submission: Submission) -> TaskCreated:
        """Accept a task; return its id, and whether this call made it.

        Raises InvalidInput for a query that is empty, too long or no text, AttachmentRejected for a file that cannot
        be used, StorageError's children.
        """
        query = checked_query(submission.query)
        attachments = await self._uploads.take(submission.principal.tenant, submission.files)
        given = Handover(
            query,
            attachments,
            submission.settings,
            submission.session,
            submission.session_tokens,
            submission.end_user,
            submission.idempotency_key,
            loads=tuple(sorted(self.host.loads)),
            vendors=tuple(sorted(self.host.vendors)),
            plan=submission.plan,
            recalled=submission.recalled,
        )
        return await self.accept(submission.principal, self._ids(), given)

    async def accept(self, principal: Principal, task: str, given: Handover) -> TaskCreated:
        """Accept a task under this id, idempotent by it; its attachments are in objects already.

        Raises InvalidInput for a query that is empty, too long or no text, PlanInvalid, StorageError's children.
        """
        checked_query(given.query)
        if self.recall is not None:
            given = await self.recall(principal, given)
        self._accepts(principal, given)
        ops = self._accept(principal, task, given)
        try:
            answers = await self._writer.commit(*ops)
        except NotFound:
            # The idempotency key stands for another task, so this one has no row its event could go to.
            if not given.idempotency_key:
                raise
            answers = await self._writer.commit(*(op for op in ops if not isinstance(op, AppendEvent)))
        self._wake()
        return next(answer for answer in answers if isinstance(answer, TaskCreated))

    def wake(self) -> None:
        """Say that a command was stored."""
        self._wake()

    def _accept(self, principal: Principal, task: str, given: Handover) -> list[Op]:
        now, tenant = self._clock.now(), principal.tenant
        start = TaskInput(
            task,
            principal,
            given.query,
            given.attachments,
            given.settings,
            digest("multiagent.seed.v1", task),
            given.session,
            given.end_user,
            given.plan,
            given.context,
            given.vendors,
            given.loads,
        )
        ops: list[Op] = [PutUser(tenant=tenant, id=principal.user, time=now)]
        if given.session:
            tokens = given.session_tokens
            ops.append(PutSession(tenant=tenant, id=given.session, user=principal.user, time=now, token_budget=tokens))
        fact = TaskSubmitted(given.query, tuple(one.name for one in given.attachments), given.session)
        event = EventDraft(
            "submitted",
            EventKind.TASK_SUBMITTED,
            msgspec.json.encode(fact),
            now,
            principal.name,
            principal.on_behalf_of,
        )
        return [
            *ops,
            CreateTask(
                tenant=tenant,
                id=task,
                workflow=TASK.name,
                input=msgspec.json.encode(start),
                query=given.query,
                user=principal.user,
                principal=msgspec.json.encode(principal),
                time=now,
                session=given.session,
                idempotency_key=given.idempotency_key,
                parent_id=given.parent,
                root_id=given.root,
            ),
            AppendEvent(tenant=tenant, task=task, event=event),
        ]

    async def cancel(self, principal: Principal, task: str, reason: str) -> str:
        """Ask for a task's end; return the command's id. It counts once it is committed."""
        command = self._ids()
        await self._writer.commit(
            StoreCommand(
                tenant=principal.tenant,
                id=command,
                task=task,
                kind="cancel",
                payload=reason.encode(),
                principal=msgspec.json.encode(principal),
                time=self._clock.now(),
            )
        )
        self._wake()
        return command


def checked_query(text: str) -> str:
    """Return a query without outer blanks; InvalidInput where it is empty, too long, or not text."""
    query = text.strip()
    if not query:
        raise InvalidInput("the query is empty; say what is to be done")
    if len(query) > QUERY_CHARS:
        raise InvalidInput(
            f"the query has {len(query)} characters; at most {QUERY_CHARS} are allowed: attach long text as a file"
        )
    try:
        query.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the query is not valid UTF-8; check the terminal's encoding") from None
    if "\0" in query:
        raise InvalidInput("the query has a zero character; remove it")
    return query
