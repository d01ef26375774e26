"""One instance of the component, in a store of its own."""

import time

import wasmtime
from wasmtime import component

from multiagent.sandbox.frames import Job
from multiagent.sandbox.hosted import HostRefused, Output

MAX_TABLES = 10
MAX_MEMORIES = 2


class Fresh:
    """An instance that has run no program yet; good for one, then closed.

    Making it raises wasmtime.WasmtimeError if the job's limits leave no room for it, HostRefused if a folder is gone.
    """

    def __init__(
        self, engine: wasmtime.Engine, linker: component.Linker, compiled: component.Component, job: Job
    ) -> None:
        started = time.monotonic()
        self.output = Output(job.output_bytes, engine.increment_epoch)
        self.store = wasmtime.Store(engine)
        try:
            self.admit(job)
            instance = linker.instantiate(self.store, compiled)
            function = instance.get_func(self.store, "run")
        except BaseException:
            self.store.close()
            raise
        if function is None:
            self.store.close()
            raise wasmtime.WasmtimeError("the component has no export `run`")
        self._function = function
        self.instantiate_ms = (time.monotonic() - started) * 1e3

    def admit(self, job: Job) -> None:
        """Set what the instance may use and see from now on; the next epoch ends it.

        Raises HostRefused if a folder is gone.
        """
        self._fuel = job.fuel
        self.output.left = job.output_bytes
        self.store.set_fuel(job.fuel)
        self.store.set_epoch_deadline(1)
        self.store.set_limits(job.memory_bytes, job.table_elements, job.instances, MAX_TABLES, MAX_MEMORIES)
        # Guests look for their folders and streams when they first use them, so that a world may come late.
        self.store.set_wasi(self._world(job))

    def call(self, request: str) -> str:
        """Hand a request to the guest and return its envelope; raises what wasmtime and the host functions raise."""
        envelope = self._function(self.store, request)
        if not isinstance(envelope, str):
            raise TypeError("the guest's envelope is not a text")
        return envelope

    @property
    def fuel_used(self) -> int:
        """The fuel used since ``admit``."""
        return self._fuel - self.store.get_fuel()

    def _world(self, job: Job) -> wasmtime.WasiConfig:
        wasi = wasmtime.WasiConfig()
        wasi.stdout_custom = self.output.sink(self.output.stdout)
        wasi.stderr_custom = self.output.sink(self.output.stderr)
        for mount in job.mounts:
            try:
                wasi.preopen_dir(mount.path, mount.guest, mount.writable)
            except wasmtime.WasmtimeError:
                raise HostRefused(f"{mount.path} cannot be opened for the program; is it still there?") from None
        return wasi
