"""What importing does: nothing but defining things, and nothing heavy on the way to the terminal's help."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.house.rules_workflow import workflow_modules
from tests.house.tree import PACKAGE, Tree

HEAVY = (
    "aiohttp", "alembic", "componentize_py", "genai_prices", "obstore", "pydantic", "pypdfium2", "regopy", "rich",
    "sqlalchemy", "wasmtime",
)  # fmt: skip
WORKFLOW_FREE_OF = (
    "asyncio", "concurrent", "multiprocessing", "random", "secrets", "socket", "sqlite3", "ssl", "subprocess", "uuid",
    *HEAVY,
)  # fmt: skip

PROBE = """
import builtins, json, os, sys, threading

names, found, quiet = json.loads(sys.argv[1]), [], [False]

def watch(event, arguments):
    if quiet[0]:
        return
    if event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        writes = any(one in mode for one in "wax+") if isinstance(mode, str) else bool(
            isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and path != os.devnull:
            found.append(f"opens {path!r} to write")
    # regopy asks for the machine's name with uname when it loads
    elif event in SHUT and "uname" not in arguments[:1]:
        found.append(f"{event}{arguments[:2]!r}")

SHUT = {"socket.connect", "socket.bind", "socket.__new__", "subprocess.Popen", "sqlite3.connect",
        "os.mkdir", "os.rename", "os.remove", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.putenv",
        "os.chdir", "_thread.start_new_thread"}
sys.addaudithook(watch)
before = dict(os.environ)
report = {}
for name in names:
    found.clear()
    try:
        __import__(name)
    except BaseException as error:
        found.append(f"fails: {type(error).__name__}: {error}")
    if threading.active_count() > 1:
        found.append("starts a thread")
    if dict(os.environ) != before:
        found.append("changes the environment")
        before = dict(os.environ)
    if found:
        report[name] = sorted(set(found))
quiet[0] = True
print(json.dumps({"report": report, "modules": sorted(sys.modules)}))
"""


def probe(tree: Tree, modules: list[str]) -> tuple[dict[str, list[str]], set[str]]:
    """Import `modules` in a fresh process: what each did beside defining things, and all that was loaded."""
    path = os.pathsep.join([str(tree.root / "src"), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-B", "-c", PROBE, json.dumps(modules)],
            cwd=tree.root,
            env={"PATH": os.environ["PATH"], "HOME": home, "MULTIAGENT_HOME": f"{home}/data", "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        left = sorted(path.name for path in Path(home).iterdir())
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != 1:
        return {"all": [f"prints or ends: {(done.stdout + done.stderr)[-2000:]}"]}, set()
    answer = json.loads(lines[0])
    report: dict[str, list[str]] = answer["report"]
    return report | ({"all": [f"leaves {left} behind"]} if left else {}), set(answer["modules"])


def import_effects(tree: Tree) -> list[str]:
    """Importing any module writes nothing, starts nothing, prints nothing and needs nothing that is not installed."""
    modules = [f"{PACKAGE}.{name}".rstrip(".") for name in tree.package if not name.endswith("__main__")]
    report, _ = probe(tree, modules)
    return [f"import {name}: {what}" for name, said in report.items() for what in said]


def light_start(tree: Tree) -> list[str]:
    """The way to the terminal's help loads no heavy library."""
    if "cli.main" not in tree.package:
        return []
    doors = [f"{PACKAGE}.{name}" for name in ("cli.main", "cli.commands") if name in tree.package]
    report, modules = probe(tree, doors)
    told = [f"import {name}: {what}" for name, said in report.items() for what in said]
    return told + [f"import {PACKAGE}.cli.main loads {name}" for name in HEAVY if name in modules]


def workflow_start(tree: Tree) -> list[str]:
    """Importing the workflow code loads no loop, no chance and no I/O, whatever the imports look like."""
    found: list[str] = []
    _, without = probe(tree, ["msgspec"])
    for source in workflow_modules(tree):
        name = f"{PACKAGE}.{source.name}"
        _, modules = probe(tree, [name])
        loaded = modules - without
        found.extend(f"import {name} loads {one}" for one in WORKFLOW_FREE_OF if one in loaded)
    return found
