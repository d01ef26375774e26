"""One WebAssembly engine and the guest it runs: used inside a worker process, one run at a time.

Only wasmtime's synchronous API is used. A run gets a fresh store, which is thrown away after it. The host stops a
run by advancing the engine's epoch: at its deadline, and when it floods its output.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime
from wasmtime import component

from multiagent.sandbox.engine_config import MAX_WASM_STACK
from multiagent.sandbox.frames import Job, Reply, Status
from multiagent.sandbox.memory import PeakMemory

WASI = "0.2.9"
MAX_TABLES = 10
MAX_MEMORIES = 2
DETAIL = 2_000
TICK_S = 1.0
# An envelope's own words, and the longest error that the guest reports.
ENVELOPE_OVERHEAD = 1 << 17


class HostRefused(Exception):
    """A host function refuses what the guest asked for: its run ends."""


def make_engine() -> wasmtime.Engine:
    """Return the engine that artifacts are compiled for."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = MAX_WASM_STACK
    config.native_unwind_info = False
    config.wasm_threads = False
    return wasmtime.Engine(config)


class Alarm:
    """Advances an engine's epoch once a run's deadline has passed, from a thread of its own.

    ``on_tick`` is called about once a second, whatever happens.
    """

    def __init__(self, engine: wasmtime.Engine, on_tick: Callable[[], None]) -> None:
        self._engine = engine
        self._on_tick = on_tick
        self._condition = threading.Condition()
        self._deadline: float | None = None
        self.rang = False
        threading.Thread(target=self._watch, name="alarm", daemon=True).start()

    def set(self, deadline: float) -> None:
        """Ring at ``deadline`` (``time.monotonic``) unless cleared before."""
        with self._condition:
            self.rang = False
            self._deadline = deadline
            # The thread looks once a second anyway; waking it costs more than a small program.
            if deadline - time.monotonic() < TICK_S:
                self._condition.notify()

    def clear(self) -> None:
        """Do not ring any more; once this returns no epoch will be advanced for the last run."""
        with self._condition:
            self._deadline = None

    def sleep(self, seconds: float) -> None:
        """Wait in the guest's place, at most until the alarm rings."""
        end = time.monotonic() + seconds
        with self._condition:
            while not self.rang and (left := end - time.monotonic()) > 0:
                self._condition.wait(min(left, TICK_S))

    def _watch(self) -> None:
        while True:
            with self._condition:
                now = time.monotonic()
                if self._deadline is not None and now >= self._deadline:
                    self._deadline = None
                    self.rang = True
                    self._engine.increment_epoch()
                    self._condition.notify_all()
                self._condition.wait(TICK_S if self._deadline is None else min(TICK_S, self._deadline - now))
            self._on_tick()


class Output:
    """Collects what a guest writes to its two channels, up to a limit for both together."""

    def __init__(self, limit: int, overflow: Callable[[], None]) -> None:
        self._left = limit
        self._overflow = overflow
        self.flooded = False
        self.stdout = bytearray()
        self.stderr = bytearray()

    def sink(self, channel: bytearray) -> Callable[[bytes], int]:
        """Return the callback for one channel; it takes all and keeps what fits."""

        def write(data: bytes) -> int:
            kept = data[: self._left]
            channel.extend(kept)
            self._left -= len(kept)
            if len(kept) < len(data) and not self.flooded:
                self.flooded = True
                self._overflow()
            return len(data)

        return write


class Guest:
    """A deserialised component, ready to run programs.

    Raises wasmtime.WasmtimeError if the artifact does not fit this engine.
    """

    def __init__(self, artifact: Path, on_tick: Callable[[], None] = lambda: None) -> None:
        self._engine = make_engine()
        self._component = component.Component.deserialize_file(self._engine, str(artifact))
        self._alarm = Alarm(self._engine, on_tick)
        self._linker = self._link()

    def run(self, job: Job) -> Reply:
        """Run one program; whatever it does is in the reply."""
        started, cpu = time.monotonic(), time.process_time()
        memory = PeakMemory()
        output = Output(job.output_bytes, self._engine.increment_epoch)
        store = self._open_store(job, output)
        try:
            reply = self._call(store, job, output)
            fuel_used = job.fuel - store.get_fuel()
        finally:
            self._alarm.clear()
            peak = memory.read()
            store.close()
        if reply.status is Status.TRAP and peak is not None and peak > 0.8 * job.memory_bytes:
            reply = Reply(Status.MEMORY, detail=reply.detail)
        return Reply(
            status=reply.status,
            envelope=reply.envelope,
            detail=reply.detail,
            spent=reply.spent,
            instantiate_ms=reply.instantiate_ms,
            stdout=bytes(output.stdout),
            stderr=bytes(output.stderr),
            fuel_used=fuel_used,
            cpu_ms=(time.process_time() - cpu) * 1e3,
            wall_ms=(time.monotonic() - started) * 1e3,
            peak_memory_bytes=peak,
        )

    def _open_store(self, job: Job, output: Output) -> wasmtime.Store:
        store = wasmtime.Store(self._engine)
        store.set_fuel(job.fuel)
        store.set_epoch_deadline(1)
        store.set_limits(job.memory_bytes, job.table_elements, job.instances, MAX_TABLES, MAX_MEMORIES)
        wasi = wasmtime.WasiConfig()
        wasi.stdout_custom = output.sink(output.stdout)
        wasi.stderr_custom = output.sink(output.stderr)
        for mount in job.mounts:
            wasi.preopen_dir(mount.path, mount.guest, mount.writable)
        store.set_wasi(wasi)
        return store

    def _call(self, store: wasmtime.Store, job: Job, output: Output) -> Reply:
        started = time.monotonic()
        self._alarm.set(started + job.timeout_s)
        instantiate_ms = 0.0
        try:
            instance = self._linker.instantiate(store, self._component)
            instantiate_ms = (time.monotonic() - started) * 1e3
            function = instance.get_func(store, "run")
            if function is None:
                return Reply(Status.TRAP, detail="the component has no export `run`", spent=True)
            envelope = function(store, job.request)
        except HostRefused as refusal:
            return Reply(Status.DENIED, detail=str(refusal), instantiate_ms=instantiate_ms)
        except wasmtime.WasmtimeError as error:
            status, detail = self._why(store, output, error)
            return Reply(status, detail=detail, instantiate_ms=instantiate_ms)
        except (RuntimeError, ValueError, TypeError, MemoryError, AssertionError) as error:
            # The binding choked on what the guest returned: the process is not to be trusted with another run.
            return Reply(Status.TRAP, detail=f"{type(error).__name__}: {error}"[:DETAIL], spent=True)
        if output.flooded:
            return Reply(Status.OUTPUT, instantiate_ms=instantiate_ms)
        if len(envelope) > job.value_bytes + ENVELOPE_OVERHEAD:
            return Reply(Status.VALUE, instantiate_ms=instantiate_ms)
        return Reply(Status.DONE, envelope=envelope, instantiate_ms=instantiate_ms)

    def _why(self, store: wasmtime.Store, output: Output, error: wasmtime.WasmtimeError) -> tuple[Status, str]:
        """Say what ended a run: the host's own facts first, the engine's words last."""
        text = str(error)
        detail = text.rpartition("Caused by:")[2].strip()[:DETAIL]
        if output.flooded:
            return Status.OUTPUT, detail
        if self._alarm.rang:
            return Status.TIMEOUT, detail
        if isinstance(error, wasmtime.ExitTrap):
            return Status.EXIT, detail
        if "fuel" in detail and store.get_fuel() == 0:
            return Status.FUEL, detail
        if "call stack exhausted" in detail:
            return Status.STACK, detail
        if "fuel allocated for hostcalls" in detail:
            return Status.VALUE, detail
        if "memory minimum size" in detail:
            return Status.MEMORY, detail
        return Status.TRAP, detail

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
