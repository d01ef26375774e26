"""Builds the sandbox runtime: CPython with its library, pre-initialised, as native code on disk.

Two builders do not collide (a file lock), a reader never sees half a file (rename), and a build that fails leaves
nothing behind.
"""

import hashlib
import importlib.resources
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from multiagent.core.errors import SandboxError
from multiagent.sandbox import artifact as artifacts
from multiagent.sandbox import compiler
from multiagent.sandbox.artifact import GUEST, Artifact

# Called with a stage's name and how far the whole build is (0 to 1).
Progress = Callable[[str, float], None]

STEP_TIMEOUT_S = 600.0
LOCK_TIMEOUT_S = 1200.0
TICK_S = 0.2
LOG = 4_000


class Step:
    """One child process of a build, its share of the progress, and how long it takes as a rule."""

    def __init__(self, title: str, start: float, end: float, usual_s: float) -> None:
        self.title = title
        self._start = start
        self._end = end
        self._usual_s = usual_s

    def fraction(self, elapsed_s: float) -> float:
        """Estimate the progress: linear to 90% of the step's share, then ever slower."""
        part = elapsed_s / self._usual_s
        done = 0.9 * part if part < 1.0 else 1.0 - 0.1 / part
        return self._start + (self._end - self._start) * done


COMPONENTIZE = Step("pre-initialising Python", 0.02, 0.55, 12.0)
COMPILE = Step("compiling to native code", 0.55, 0.98, 9.0)


def build(cache_dir: Path, progress: Progress = lambda _stage, _fraction: None, *, force: bool = False) -> Artifact:
    """Return the runtime under ``cache_dir``, built first if it is missing (or if ``force``); blocks for that long.

    Raises SandboxError with the log's end if a step fails, SandboxBusy if another process builds for too long,
    SandboxDenied if the folder is not this user's alone.
    """
    folder = artifacts.open_folder(cache_dir)
    found = None if force else artifacts.find(cache_dir)
    if found is None:
        progress("waiting for another build", 0.0)
        with artifacts.build_lock(folder, LOCK_TIMEOUT_S):
            found = None if force else artifacts.find(cache_dir)
            if found is None:
                found = _build_locked(folder, progress)
    progress("ready", 1.0)
    return found


def _build_locked(folder: Path, progress: Progress) -> Artifact:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as name:
        work = Path(name)
        progress("collecting sources", 0.01)
        stage = _lay_out(work)
        component, compiled = work / "component.wasm", work / "runtime.cwasm"
        environment = {"VIRTUAL_ENV": str(work / "empty-environment"), "HOME": str(work), "TMPDIR": str(work)}
        _run(COMPONENTIZE, ["componentize", str(stage), str(component)], environment, progress)
        _run(COMPILE, ["compile", str(component), str(compiled)], environment, progress)
        component_sha = hashlib.sha256(component.read_bytes()).hexdigest()
        body = compiled.read_bytes()
        key = artifacts.source_key()
        artifact = Artifact(
            key=key,
            file=f"{key}-{component_sha[:16]}.cwasm",
            sha256=hashlib.sha256(body).hexdigest(),
            component_sha256=component_sha,
            size=len(body),
            built_s=round(time.monotonic() - started, 1),
        )
        compiled.chmod(0o600)
        _sync(compiled)
        compiled.replace(folder / artifact.file)
        artifacts.publish(folder, artifact)
    return artifact


def _lay_out(work: Path) -> Path:
    """Copy the guest's sources and the time zones to where the component is made from."""
    stage = work / "stage"
    stage.mkdir()
    for source in GUEST.iterdir():
        if source.suffix in {".py", ".wit"}:
            shutil.copyfile(source, stage / source.name)
    # The component maker adds the site-packages it finds to the guest's path: give it an empty one.
    (work / "empty-environment" / "lib" / "python3" / "site-packages").mkdir(parents=True)
    with importlib.resources.as_file(importlib.resources.files("tzdata")) as zones:
        shutil.copytree(zones, stage / "tzdata", ignore=shutil.ignore_patterns("__pycache__"))
    return stage


def _run(step: Step, arguments: list[str], environment: dict[str, str], progress: Progress) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-c", compiler.BOOT, root, *arguments]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                elapsed = time.monotonic() - started
                if elapsed > STEP_TIMEOUT_S:
                    raise SandboxError(
                        f"building the sandbox runtime took over {STEP_TIMEOUT_S:.0f} s while {step.title}"
                    )
                progress(step.title, step.fraction(elapsed))
                try:
                    process.wait(TICK_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise SandboxError(f"building the sandbox runtime failed while {step.title}: {_tail(log.fileno())}")


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, LOG, max(0, size - LOG)).decode("utf-8", "replace").strip()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
