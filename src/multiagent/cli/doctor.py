"""``multiagent doctor``: what is configured, what is missing, how to fix it."""

import os
from typing import Annotated

import typer

from multiagent.cli import exits, output
from multiagent.cli.home import here


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
    """Say what is configured, what is missing, and how to fix it; exit 1 where something must be fixed."""
    import asyncio

    from multiagent.app.checkup import checkup

    place = here()
    findings = asyncio.run(checkup(place, os.environ))
    if json:
        output.as_json(findings)
    else:
        marks = {"ok": "✓", "note": "·", "bad": "✗"}
        for finding in findings:
            output.answer(f"{marks[finding.state]} {finding.name}: {finding.found}")
            if finding.fix:
                output.answer(f"    → {finding.fix}")
    return exits.INTERNAL if any(finding.state == "bad" for finding in findings) else exits.OK
