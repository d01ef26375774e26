"""The two slow steps of a build, each run as a process of its own so that it can be watched, logged and killed.

``python -I -c BOOT root componentize STAGE OUT`` makes the component out of the guest sources in STAGE;
``… compile IN OUT`` compiles it ahead of time and proves that it runs.
"""

import sys
from pathlib import Path

BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from multiagent.sandbox.compiler import main; sys.exit(main(sys.argv[2:]))"
)
WORLD = "sandbox"
APP = "guest_main"


def main(arguments: list[str]) -> int:
    """Run one step."""
    step, source, target = arguments
    if step == "componentize":
        return componentize(Path(source), Path(target))
    return compile_ahead(Path(source), Path(target))


def componentize(stage: Path, target: Path) -> int:
    """Make a pre-initialised component of the guest in ``stage``; VIRTUAL_ENV must name an empty environment."""
    import componentize_py

    sys.argv = ["componentize-py", "-d", str(stage / "sandbox.wit"), "-w", WORLD, "componentize"]
    sys.argv += ["-p", str(stage), APP, "-o", str(target)]
    componentize_py.script()
    return 0


def compile_ahead(source: Path, target: Path) -> int:
    """Compile a component to native code, write it, and run a first program with it."""
    from wasmtime import component

    from multiagent.sandbox.frames import Job, Status
    from multiagent.sandbox.wasi import Guest, make_engine

    compiled = component.Component(make_engine(), source.read_bytes()).serialize()
    target.write_bytes(compiled)
    job = Job(
        request='{"code": "6 * 7", "inputs": null, "folder": null}',
        mounts=(),
        timeout_s=30.0,
        memory_bytes=256 << 20,
        fuel=10**10,
        output_bytes=1 << 16,
        value_bytes=1 << 16,
        file_bytes=0,
        table_elements=10_000,
        instances=20,
    )
    reply = Guest(target).run(job)
    if reply.status is not Status.DONE or '"42"' not in reply.envelope:
        sys.stderr.write(f"the new runtime does not run: {reply.status} {reply.detail} {reply.stderr!r}\n")
        return 1
    return 0
