"""Who may import whom: the floors, the walls around outside libraries, factories and test code."""

import ast
import os
import re
import subprocess
import sys
import tomllib

from tests.house.tree import PACKAGE, Tree, within

WALLS: dict[str, tuple[str, ...]] = {
    # outside library -> the only places that may import it
    "sqlite3": ("storage",),
    "sqlalchemy": ("storage",),
    "alembic": ("storage",),
    "aiosqlite": ("storage",),
    "asyncpg": ("storage",),
    "redis": ("storage",),
    "qdrant_client": ("storage",),
    "qdrant_edge": ("storage",),
    "obstore": ("storage",),
    "wasmtime": ("sandbox",),
    "componentize_py": ("sandbox",),
    "regopy": ("policy",),
    "temporalio": ("engines.temporal",),
    "solana": ("ledger.anchors",),
    "solders": ("ledger.anchors", "ledger.wallet"),
    "fastapi": ("gateway",),
    "starlette": ("gateway",),
    "uvicorn": ("gateway", "app"),
    "aiohttp": ("llm.providers", "policy.remote", "client"),
    "openai": ("llm.providers",),
    "anthropic": ("llm.providers",),
    "google": ("llm.providers",),
    "genai_prices": ("llm",),
    "pypdfium2": ("tools", "security"),
    "pydantic": ("api", "config", "gateway"),
    "yaml": ("config", "app"),
    "grpc": ("api.grpc", "gateway", "client"),
    "opentelemetry": ("telemetry",),
    "prometheus_client": ("telemetry",),
    "structlog": ("telemetry",),
    "typer": ("cli",),
    "rich": ("cli",),
    "click": ("cli",),
}
PURE = (
    "core",
    "engines.base",
    "engines.kernel",
    "agents.fsm",
    "agents.belief",
    "agents.loop",
    "agents.calls",
    "orchestrator.calls",
    "orchestrator.complexity",
    "orchestrator.dag",
    "orchestrator.scheduler",
    "orchestrator.budget",
    "orchestrator.strategies",
    "orchestrator.workflows",
)
"""Modules (with what is below them) that get clock, ids and chance as arguments."""
IMPURE_IMPORTS = {"asyncio", "time", "random", "os", "secrets", "uuid", "threading", "socket", "subprocess"}


def floors(tree: Tree) -> list[str]:
    """The layers contract of pyproject.toml, by import-linter."""
    path = os.pathsep.join([str(tree.root / "src"), os.environ.get("PYTHONPATH", "")])
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", "pyproject.toml", "--no-cache"],
        cwd=tree.root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def unbuilt_floors(tree: Tree) -> list[str]:
    """A floor stands in parentheses in the contract exactly while it is not built."""
    settings = tomllib.loads((tree.root / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [room.strip() for layer in layers for room in re.split(r"[|:]", layer)]
    built = {name.partition(".")[0] for name in tree.package if name}
    wrong = [room for room in rooms if room.startswith("(") == (room.strip("()") in built)]
    return [f"pyproject.toml: floor {room}: parentheses are for what is not built yet" for room in wrong]


def walls(tree: Tree) -> list[str]:
    """An outside library is imported only by the part that owns it; test code may import what it tests."""
    return [
        source.at(found.node, f"{found.top} belongs to {', '.join(WALLS[found.top])}")
        for name, source in tree.package.items()
        if not within(name, "testing")
        for found in tree.imports(source)
        if found.top in WALLS and not within(name, *WALLS[found.top])
    ]


def purity(tree: Tree) -> list[str]:
    """Pure modules import no clock, chance, process or loop."""
    return [
        source.at(found.node, f"a pure module imports {found.target}; take it as an argument")
        for name, source in tree.package.items()
        if within(name, *PURE)
        for found in tree.imports(source)
        if found.top in IMPURE_IMPORTS
    ]


def factories(tree: Tree) -> list[str]:
    """Only the app floor imports a factory, which alone names adapters."""
    return [
        source.at(found.node, f"only app imports {found.target}")
        for name, source in tree.package.items()
        if not within(name, "app", "testing")
        for found in tree.imports(source)
        if found.top == PACKAGE and found.target.endswith(".factory")
    ]


def ports(tree: Tree) -> list[str]:
    """Each port (a `base.py` with a Protocol) has one suite that its adapters pass, and something runs the suite."""
    runners = "\n".join(source.text for source in tree.python("tests"))
    found: list[str] = []
    for name, source in tree.package.items():
        if not name.endswith(".base") or not any(_is_protocol(node) for node in source.tree.body):
            continue
        port = name.split(".")[-2]
        suites = [suite for suite in (port, port.removesuffix("s")) if f"testing.suites.{suite}" in tree.package]
        if not suites:
            found.append(f"{source.path}: no suite testing/suites/{port}.py")
        elif not any(f"testing.suites.{suite}" in runners or f"suites import {suite}" in runners for suite in suites):
            found.append(f"{source.path}: nothing under tests/ runs its suite")
    return found


def _is_protocol(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in node.bases)


def test_code(tree: Tree) -> list[str]:
    """Nothing in the product imports its testing package."""
    return [
        source.at(found.node, "only tests import multiagent.testing")
        for name, source in tree.package.items()
        if not within(name, "testing")
        for found in tree.imports(source)
        if within(found.target, f"{PACKAGE}.testing", "pytest", "hypothesis")
    ]
