"""The kernel: a pure driver of one workflow run.

It takes one outcome at a time (``feed``), runs the workflow's fibers to rest, and yields what they asked for
(``take``). Live runs, replays and other engines are feeders of it. It reads no clock and no randomness of its own:
time is the outcome's, chance comes from the seed.
"""

import functools
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

import msgspec

from multiagent.core.errors import Cancelled, NonDeterminism, WorkflowBroken
from multiagent.core.events import EventKind
from multiagent.core.ids import ulid
from multiagent.core.outcome import Failure, Outcome, Patch, failure
from multiagent.core.settings import TaskSettings
from multiagent.core.step import StepDef
from multiagent.engines.actions import (
    Action,
    CancelStep,
    CancelTimer,
    Complete,
    Emit,
    Fail,
    RunStep,
    StartTimer,
    Yielded,
)
from multiagent.engines.base import Forked
from multiagent.engines.fiber import Fiber, Scheduler, Wait
from multiagent.engines.splitmix import SplitMix
from multiagent.engines.waits import SignalWait, StepWait, TimerWait

CLEANUP_SECONDS: Final = 10.0
RESERVED: Final = "__"
"""Signals whose name begins so are the platform's own."""
CANCEL: Final = "__cancel"
PAUSE: Final = "__pause"
RESUME: Final = "__resume"
FORK: Final = "fork/"
"""A ``settings`` outcome whose key begins so comes before the outcome that a fork was cut at; the fork's id follows."""

encode: Final = msgspec.json.Encoder(order="deterministic").encode
T = TypeVar("T")
Value = bytes | Failure | None


def decoder(record: type[T]) -> msgspec.json.Decoder[T]:
    """Return the JSON decoder of a record type, made once."""
    return _decoder(cast("Hashable", record))


@functools.lru_cache(maxsize=1024)
def _decoder(record: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type[Any]", record))


def always(_patch: str) -> bool:
    """Take every changed branch."""
    return True


class Kernel(Scheduler):
    """One run of one workflow.

    ``seed`` seeds ``random``, ``task`` too seeds ``uuid``; ``patches`` are the recorded decisions of a run that is
    replayed, and ``live`` is False while it is: then a patch without a record is not taken. ``decide`` is asked about
    the others.
    """

    __slots__ = (
        "_actions", "_chance", "_cleanup", "_crossed", "_keys", "_names", "_new_patches", "_outdated", "_patches",
        "_retired", "_root", "_seed", "_stopping", "_task", "_timers", "cuts", "decide", "emits", "ended", "inherited",
        "live", "paused", "published", "settings", "signal_waits", "signals", "steps", "time", "timers",
    )  # fmt: skip

    def __init__(
        self, task: str, seed: str, time: int, settings: TaskSettings, patches: Mapping[str, bool] | None = None
    ) -> None:
        super().__init__()
        self.time = time
        self.settings = settings
        self.live = True
        self.decide: Callable[[str], bool] = always
        self.ended = False
        self.paused = False
        self.cuts = 0
        self.inherited = False
        self._crossed: int | None = None
        self._outdated: set[str] = set()
        self.published: dict[str, msgspec.Struct] = {}
        self.steps: dict[str, StepWait] = {}
        self.timers: dict[str, tuple[StartTimer, TimerWait | None]] = {}
        self.signals: dict[str, deque[bytes]] = {}
        self.signal_waits: dict[str, deque[SignalWait]] = {}
        self._task, self._seed = task, seed
        self._chance = SplitMix(seed)
        self._names = SplitMix(f"{task}/{seed}")
        self._patches = dict(patches or {})
        self._new_patches: list[Patch] = []
        self._keys: set[str] = set()
        self._retired: set[str] = set()
        self._actions: list[Action] = []
        self._stopping = False
        self.emits = 0
        self._timers = 0
        self._cleanup: dict[str, tuple[Fiber[Any], ...]] = {}
        self._root: Fiber[Any] | None = None

    # --- what feeders call ---

    def start(self, root: Coroutine[Any, Any, Any]) -> None:
        """Run the workflow to its first rest."""
        self._root = self.spawn(root)
        self._settle()

    def feed(self, outcome: Outcome, value: Value = None) -> None:
        """Take one outcome and run to rest.

        ``value`` is the step's result as JSON, or its Failure; signals and settings carry theirs in the outcome.
        NonDeterminism where the outcome answers nothing that this workflow has asked for.
        """
        self.time = outcome.time
        crossed, self._crossed = self._crossed, None
        self.inherited = crossed is not None
        self._outdated.clear()
        if crossed is not None:
            self._put_off(outcome.time - crossed)
        if outcome.kind in ("result", "failed"):
            self._feed_step(outcome, value)
        elif outcome.kind == "timer":
            self._feed_timer(outcome)
        elif outcome.kind == "signal":
            self._feed_signal(outcome)
        elif outcome.kind == "settings":
            self.settings = decoder(TaskSettings).decode(outcome.value)
            if outcome.key.startswith(FORK):
                self._cross(outcome)
        else:
            raise NonDeterminism(f"an outcome of kind {outcome.kind} cannot be fed")
        self._settle()

    def take(self) -> Yielded:
        """Return what was yielded since the last ``take``."""
        yielded = Yielded(tuple(self._actions), tuple(self._new_patches))
        self._actions.clear()
        self._new_patches.clear()
        return yielded

    def waits_for(self, outcome_key: str) -> bool:
        """Whether an outcome with this key is still waited for (a step's id, a timer's key)."""
        return outcome_key in self.steps or outcome_key in self.timers

    @property
    def may_pause(self) -> bool:
        """Whether a pause would change anything: one that is being cancelled is not held up."""
        return not (self.paused or self.ended or self._stopping)

    def pending(self) -> tuple[RunStep | StartTimer, ...]:
        """Return what was asked for and has no answer yet: steps, then timers, each in the order asked."""
        steps = [wait.action for wait in self.steps.values()]
        return (*steps, *(timer for timer, _ in self.timers.values()))

    def query(self, name: str) -> bytes | None:
        """Return what was last published under a name, as JSON."""
        state = self.published.get(name)
        return None if state is None else encode(state)

    @property
    def result(self) -> object:
        """What the workflow returned; None where it has not."""
        return None if self._root is None else self._root.value

    def waiting_signals(self) -> tuple[str, ...]:
        """Return the names of the signals that are waited for, sorted."""
        return tuple(sorted(name for name, waits in self.signal_waits.items() if waits))

    # --- what the context and the waits call ---

    def issue(self, definition: StepDef[Any, Any], record: object, key: str) -> StepWait:
        """Ask for a step."""
        self.check_attached()
        if key in self._keys:
            raise WorkflowBroken(f"step key {key!r} is used twice in one run; every step needs a key of its own")
        self._keys.add(key)
        payload = encode(record)
        digest = sha256(b"%b\0%b" % (definition.name.encode(), payload)).hexdigest()
        action = RunStep(f"{key}~{digest[:8]}", key, definition, record, payload, digest)
        wait = self.steps[action.id] = StepWait(self, action)
        self._actions.append(action)
        return wait

    def cancel_step(self, wait: StepWait) -> None:
        """Stop a step that is under way and forget its outcome."""
        if self.steps.pop(wait.id, None) is not None:
            self._retired.add(wait.id)
            self._actions.append(CancelStep(wait.id))

    def timer(self, seconds: float, wait: TimerWait | None) -> str:
        """Ask for a timer; return its key."""
        self.check_attached()
        self._timers += 1
        key = f"timer/{self._timers}"
        seconds = max(0.0, float(seconds))
        action = StartTimer(key, self.time + round(seconds * 1000), seconds)
        self.timers[key] = action, wait
        self._actions.append(action)
        return key

    def cancel_timer(self, key: str) -> None:
        """Forget a timer."""
        if key in self.timers:
            del self.timers[key]
            self._retired.add(key)
            self._actions.append(CancelTimer(key))

    def emit(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Say that something happened."""
        if not self.detached:
            self.emits += 1
            self._actions.append(Emit(f"w/{self.emits}", kind, encode(payload), self.time))

    def patched(self, name: str) -> bool:
        """Decide whether the changed branch is taken, once a run."""
        taken = self._patches.get(name)
        if taken is None:
            taken = self._patches[name] = self.live and self.decide(name)
            if self.live:
                self._new_patches.append(Patch(name, taken))
        return taken

    def name(self) -> str:
        """Return a new ULID of this moment."""
        return ulid(self.time, self._names.bits() << 16 | self._names.bits() & 0xFFFF)

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        return self._chance.unit()

    def left(self, wait: Wait) -> None:
        """Undo what an interrupted wait had asked for."""
        if isinstance(wait, StepWait):
            self.cancel_step(wait)
        elif isinstance(wait, TimerWait):
            self.cancel_timer(wait.key)
        elif isinstance(wait, SignalWait):
            self.signal_waits[wait.name].remove(wait)
        else:
            super().left(wait)

    # --- inside ---

    def _feed_step(self, outcome: Outcome, value: Value) -> None:
        wait = self.steps.pop(outcome.key, None)
        if wait is None:
            self._check_retired(outcome)
            return
        if isinstance(value, Failure):
            self.wake(wait, value.error())
            return
        try:
            wait.value = decoder(wait.action.definition.output).decode(value or b"null")
        except msgspec.MsgspecError as error:
            raise NonDeterminism(
                f"the recorded result of step {outcome.key} is no {wait.action.definition.output.__name__}: {error}",
                details={"step": outcome.key},
            ) from error
        self.wake(wait)

    def _feed_timer(self, outcome: Outcome) -> None:
        if outcome.key not in self.timers:
            self._check_retired(outcome)
            return
        _, wait = self.timers.pop(outcome.key)
        if wait is not None:
            wait.fired = True
            self.wake(wait)
            return
        for fiber in sorted(self._cleanup.pop(outcome.key), key=lambda fiber: -fiber.number):
            self.kill(fiber)

    def _feed_signal(self, outcome: Outcome) -> None:
        name = outcome.key.rpartition("~")[0] or outcome.key
        if name == CANCEL:
            self._stopping, self.paused = True, False  # cleanup goes on, also where the task was held
            if self._root is not None:
                reason = outcome.value.decode("utf-8", "replace")
                self.cancel(self._root, Cancelled(reason or "the task was cancelled"))
        elif name == PAUSE:
            self.paused = not self._stopping and not self.inherited
        elif name == RESUME:
            self.paused = False
        elif not name.startswith(RESERVED):
            self.signals.setdefault(name, deque()).append(outcome.value)
            self.wake_signal(name)

    def _cross(self, fork: Outcome) -> None:
        """Become the fork: with chance and names of its own, and what must not cross a cut is asked again. The cut's
        own outcome comes next, and all that it leads to is the fork's.
        """
        self.cuts += 1
        self.paused = False
        self._crossed = fork.time
        self._chance = SplitMix(f"{self._seed}/{fork.key}")
        self._names = SplitMix(f"{self._task}/{self._seed}/{fork.key}")
        waits = [wait for waiting in self.signal_waits.values() for wait in waiting if not wait.crosses]
        for signal in sorted(waits, key=lambda wait: wait.fiber.number if wait.fiber else 0):
            self.left(signal)
            self.wake(signal, Forked(signal.name))

    def outdated(self, name: str) -> bool:
        """Whether a signal that must not cross a cut was asked for before it: told once, so that one may ask anew."""
        old = self.inherited and name not in self._outdated
        self._outdated.add(name)
        return old

    def _put_off(self, passed: int) -> None:
        """Let timers keep their remaining time over the time that passed until the fork was made."""
        for name, (timer, wait) in self.timers.items():
            self.timers[name] = msgspec.structs.replace(timer, due=timer.due + passed), wait

    def wake_signal(self, name: str) -> None:
        """Wake the longest waiter of a signal that is there."""
        waiters = self.signal_waits.get(name)
        if waiters and self.signals.get(name):
            self.wake(waiters.popleft())

    def _check_retired(self, outcome: Outcome) -> None:
        if outcome.key not in self._retired:
            raise NonDeterminism(
                f"the journal holds an outcome of {outcome.key}, which this workflow has not asked for",
                details={"step": outcome.key, "n": outcome.n},
            )

    def _settle(self) -> None:
        self.run()
        if self.ended:
            return
        root = self._root
        if self.broken is not None:
            self._end(Fail(failure(self.broken)))
        elif root is not None and root.finished:
            self._end(self._ending(root))
        elif self.dying:
            self._limit_cleanup()

    def _limit_cleanup(self) -> None:
        alive = tuple(fiber for fiber in self.dying if not fiber.finished)
        self.dying.clear()
        if alive:
            self._cleanup[self.timer(CLEANUP_SECONDS, None)] = alive

    def _ending(self, root: Fiber[Any]) -> Action:
        if root.error is None:
            try:
                return Complete(encode(root.value))
            except (TypeError, ValueError) as error:
                return Fail(Failure("WORKFLOW_BROKEN", f"the workflow's result is no JSON: {error}"))
        return Fail(failure(root.error))

    def _end(self, action: Action) -> None:
        self.ended = True
        for wait in list(self.steps.values()):
            self.cancel_step(wait)
        for key in list(self.timers):
            self.cancel_timer(key)
        self.drop()
        self._actions.append(action)
