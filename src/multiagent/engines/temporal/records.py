"""What crosses to Temporal and back: a run's beginning, a step's call, the facts that ride with it.

Keys, signal names and error codes cross in plain; everything else is in payloads, which the codec encrypts.
"""

from typing import Final

import msgspec

from multiagent.core.events import EventDraft
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Bill
from multiagent.engines.replay import Start

FEED: Final = "feed"
"""The one signal of a run: ``Sent``. Temporal's own cancel is fed as the reserved signal ``__cancel``."""
PUBLISHED: Final = "published"
"""The one query of a run: a name; it answers ``Shown``."""
FLUSH: Final = "__flush"
"""The activity that stores facts which no step carries (queue ``orchestrator``): ``FlushCall``, answers nothing."""
FINISH: Final = "__finish"
"""The activity that ends a run (queue ``orchestrator``): ``FinishCall``, answers nothing."""
GIVE_UP: Final = "__give_up"
"""The activity that ends a step whose worker did not (queue ``orchestrator``): ``GiveUpCall``, answers as the step."""
RECALL: Final = "__recall"
"""The activity that brings a run's past from storage (queue ``orchestrator``): ``RecallCall``, answers ``Past``."""


class Sent(msgspec.Struct, frozen=True):
    """A signal: its outcome key ``<name>~<id>``, by which it is fed once, and what it carries."""

    key: str
    value: bytes = b""


class Shown(msgspec.Struct, frozen=True):
    """What a run has published under a name, as JSON; None where it has not."""

    value: msgspec.Raw | None = None


class Begin(msgspec.Struct, frozen=True):
    """A run's beginning: the argument of its Temporal workflow, whose id is the task's and whose type the workflow's.

    ``rows`` is how many journal rows it has as its past (a fork, a run gone on with, a continued one): it recalls them
    from storage first. ``sent`` are signals to be fed after them, sent to an earlier run and not in its journal.
    Once its history has ``most_events`` events it goes on in a new one; 0: when the server suggests it.
    """

    tenant: str
    task: str
    start: Start
    created: int
    principal: str = ""
    on_behalf_of: str = ""
    forked_from: str = ""
    rows: int = 0
    sent: tuple[Sent, ...] = ()
    most_events: int = 0


class Told(msgspec.Struct, frozen=True, tag="told"):
    """A fact: an event that the run or its engine said."""

    event: EventDraft


class Fed(msgspec.Struct, frozen=True, tag="fed"):
    """A fact: an outcome that was fed to the kernel."""

    outcome: Outcome


class Riders(msgspec.Struct, frozen=True):
    """Every fact of a run that nobody has acknowledged yet, in order: ``first`` is the number of the first of them,
    counted over the whole run (from 1). Who stores them acknowledges all up to ``first + len(facts) - 1``.

    ``status`` and ``waits_for`` are what the run's row shows from then on, where its journal's last row is ``at``.
    """

    first: int = 1
    facts: tuple[Told | Fed, ...] = ()
    status: TaskStatus | None = None
    waits_for: str = ""
    at: int = 0


class StepCall(msgspec.Struct, frozen=True):
    """The argument of a step's activity, whose id is ``<key>~<hash8>`` and whose type is the step's name."""

    tenant: str
    task: str
    key: str
    input: msgspec.Raw
    input_hash: str
    principal: str = ""
    on_behalf_of: str = ""
    cause: str = ""
    forked_from: str = ""
    riders: Riders = Riders()


class GiveUpCall(msgspec.Struct, frozen=True):
    """See ``GIVE_UP``: what the result of a step of that ``name`` is where none is stored."""

    tenant: str
    task: str
    key: str
    name: str
    input_hash: str
    failure: Failure


class FlushCall(msgspec.Struct, frozen=True):
    """See ``FLUSH``."""

    tenant: str
    task: str
    riders: Riders


class FinishCall(msgspec.Struct, frozen=True):
    """See ``FINISH``. The last rider is the ``end`` row, which says how the run ended; ``bill`` is the workflow's own,
    where it made one; ``said``: the workflow has emitted its last event itself.
    """

    tenant: str
    task: str
    created: int
    riders: Riders
    bill: Bill | None = None
    said: bool = False


class RecallCall(msgspec.Struct, frozen=True):
    """See ``RECALL``: the first ``rows`` rows of the task's journal."""

    tenant: str
    task: str
    rows: int


class Past(msgspec.Struct, frozen=True):
    """Journal rows and the results of their steps, by step key."""

    journal: tuple[Outcome, ...]
    values: dict[str, msgspec.Raw]
    failures: dict[str, Failure]
