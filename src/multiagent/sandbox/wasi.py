"""One WebAssembly engine and the guest it runs: used inside a worker process, one run at a time.

Only wasmtime's synchronous API is used. A run gets a fresh store, which is thrown away after it. The host stops a
run by advancing the engine's epoch: at its deadline, and when it floods its output.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import wasmtime
from wasmtime import component

from multiagent.sandbox.base import Limits
from multiagent.sandbox.engine_config import MAX_WASM_STACK
from multiagent.sandbox.frames import Job, Reply, Status
from multiagent.sandbox.hosted import Alarm, HostRefused
from multiagent.sandbox.instance import Fresh
from multiagent.sandbox.memory import PeakMemory

WASI = "0.2.9"
DETAIL = 2_000
# An envelope's own words, and the longest error that the guest reports. A value in it is JSON in JSON, which can
# double its length; its own length is checked where the envelope is opened.
ENVELOPE_OVERHEAD = 1 << 17

# What an instance is made with before its program is known: nothing to see, and less room than most have.
AHEAD = Job(
    request='{"code": "print", "inputs": null, "folder": null}',
    mounts=(),
    timeout_s=5.0,
    memory_bytes=64 << 20,
    fuel=10**10,
    output_bytes=0,
    value_bytes=0,
    file_bytes=0,
    table_elements=Limits().table_elements,
    instances=Limits().instances,
)
# What the engine says of limits that it watches by itself.
WORDS = {
    "all fuel consumed": Status.FUEL,
    "call stack exhausted": Status.STACK,
    "fuel allocated for hostcalls": Status.VALUE,
    "memory minimum size": Status.MEMORY,
}
# What the binding raises when a guest returns what it cannot take.
UNFIT = (RuntimeError, ValueError, TypeError, MemoryError, AssertionError)


def make_engine() -> wasmtime.Engine:
    """Return the engine that artifacts are compiled for."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = MAX_WASM_STACK
    config.native_unwind_info = False
    config.wasm_threads = False
    return wasmtime.Engine(config)


class Guest:
    """A deserialised component, ready to run programs.

    Raises wasmtime.WasmtimeError if the artifact does not fit this engine.
    """

    def __init__(self, artifact: Path, on_tick: Callable[[], None] = lambda: None) -> None:
        self._engine = make_engine()
        self._component = component.Component.deserialize_file(self._engine, str(artifact))
        self._alarm = Alarm(self._engine, on_tick)
        self._linker = self._link()
        self._ready: Fresh | None = None

    def prepare(self) -> None:
        """Make an instance ready for the next program while nobody waits for it.

        It runs an empty program first, so that the memory which every program touches is there already. Folders and
        limits come with the program.
        """
        self._ready = None
        self._alarm.set(time.monotonic() + AHEAD.timeout_s)
        try:
            fresh = self._make(AHEAD)
            fresh.call(AHEAD.request)
        except (HostRefused, wasmtime.WasmtimeError, *UNFIT):
            return
        finally:
            self._alarm.clear()
        self._ready = fresh

    def run(self, job: Job) -> Reply:
        """Run one program; whatever it does is in the reply."""
        started, cpu = time.monotonic(), time.process_time()
        memory = PeakMemory()
        fresh = None
        self._alarm.set(started + job.timeout_s)
        try:
            fresh = self._take(job)
            reply = _answer(fresh.call(job.request), fresh, job)
        except HostRefused as refusal:
            reply = Reply(Status.DENIED, detail=str(refusal))
        except wasmtime.WasmtimeError as error:
            reply = self._why(fresh, error)
        except UNFIT as error:
            # The process is not to be trusted with another run.
            reply = Reply(Status.TRAP, detail=f"{type(error).__name__}: {error}"[:DETAIL], spent=True)
        finally:
            self._alarm.clear()
        peak = memory.read()
        if reply.status is Status.TRAP and peak is not None and peak > 0.8 * job.memory_bytes:
            reply = msgspec.structs.replace(reply, status=Status.MEMORY)
        if fresh is not None:
            reply = _with_facts(reply, fresh)
        return msgspec.structs.replace(
            reply,
            peak_memory_bytes=peak,
            cpu_ms=(time.process_time() - cpu) * 1e3,
            wall_ms=(time.monotonic() - started) * 1e3,
        )

    def _take(self, job: Job) -> Fresh:
        """Return an instance that has run no program: the one at hand if it fits, or else one made now."""
        ready, self._ready = self._ready, None
        if ready is None or not _fits_ahead(job):
            return self._make(job)
        ready.admit(job)
        return ready

    def _make(self, job: Job) -> Fresh:
        return Fresh(self._engine, self._linker, self._component, job)

    def _why(self, fresh: Fresh | None, error: wasmtime.WasmtimeError) -> Reply:
        """Say what ended a run: the host's own facts first, the engine's words last."""
        detail = str(error).rpartition("Caused by:")[2].strip()[:DETAIL]
        if fresh is not None and fresh.output.flooded:
            status = Status.OUTPUT
        elif self._alarm.rang:
            status = Status.TIMEOUT
        elif isinstance(error, wasmtime.ExitTrap):
            status = Status.EXIT
        else:
            status = next((status for words, status in WORDS.items() if words in detail), Status.TRAP)
        return Reply(status, detail=detail)

    def _link(self) -> component.Linker:
        linker = component.Linker(self._engine)
        linker.allow_shadowing = True
        linker.add_wasip2()
        with linker.root() as root:
            with root.add_instance("multiagent:sandbox/host") as host:
                host.add_func("sleep", lambda _store, nanoseconds: self._alarm.sleep(nanoseconds / 1e9))
            self._shadow_clock(root)
            _shadow_sockets(root)
        return linker

    def _shadow_clock(self, root: component.LinkerInstance) -> None:
        # WASI's own waits do not see the epoch, so that a sleeping guest would outlive its deadline.
        with root.add_instance(f"wasi:clocks/monotonic-clock@{WASI}") as clock:
            clock.add_func("now", lambda _store: time.monotonic_ns())
            clock.add_func("resolution", lambda _store: 1)
            clock.add_func("subscribe-instant", _refuse("waiting on a clock"))
            clock.add_func("subscribe-duration", _refuse("waiting on a clock"))


def _fits_ahead(job: Job) -> bool:
    """Whether an instance made ahead can run a job: its limits can only be widened."""
    roomy = job.memory_bytes >= AHEAD.memory_bytes and job.instances >= AHEAD.instances
    return roomy and job.table_elements >= AHEAD.table_elements


def _answer(envelope: str, fresh: Fresh, job: Job) -> Reply:
    if fresh.output.flooded:
        return Reply(Status.OUTPUT)
    if len(envelope) > 2 * job.value_bytes + ENVELOPE_OVERHEAD:
        return Reply(Status.VALUE)
    return Reply(Status.DONE, envelope=envelope)


def _with_facts(reply: Reply, fresh: Fresh) -> Reply:
    """Add what the instance has left behind, and throw it away."""
    output = fresh.output
    complete = msgspec.structs.replace(
        reply,
        stdout=bytes(output.stdout),
        stderr=bytes(output.stderr),
        fuel_used=fresh.fuel_used,
        instantiate_ms=fresh.instantiate_ms,
    )
    fresh.store.close()
    return complete


def _shadow_sockets(root: component.LinkerInstance) -> None:
    for kind in ("tcp", "udp"):
        with root.add_instance(f"wasi:sockets/{kind}-create-socket@{WASI}") as sockets:
            sockets.add_func(f"create-{kind}-socket", lambda _store, _family: "access-denied")
    with root.add_instance(f"wasi:sockets/ip-name-lookup@{WASI}") as names:
        names.add_resource("resolve-address-stream", component.ResourceType.host(1), lambda _store, _rep: None)
        names.add_func("resolve-addresses", _refuse("looking up names"))
        stream = "[method]resolve-address-stream"
        names.add_func(f"{stream}.resolve-next-address", _refuse("looking up names"))
        names.add_func(f"{stream}.subscribe", _refuse("looking up names"))


def _refuse(what: str) -> Callable[..., None]:
    def refuse(*_arguments: object) -> None:
        raise HostRefused(f"{what} is not available in the sandbox")

    return refuse
