"""The owner's end of the inbox, open while the platform is."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from multiagent.agents.asking import Asker
from multiagent.agents.recheck import Rechecker
from multiagent.app.lifecycle import background
from multiagent.llm.factory import GateConfig, describe, is_offline
from multiagent.orchestrator.approvals import Approvals
from multiagent.orchestrator.handover import Host
from multiagent.orchestrator.intake import Files, Intake
from multiagent.orchestrator.service import Service
from multiagent.storage.factory import open_inbox


@asynccontextmanager
async def open_intake(home: Path, asker: Asker, service: Service, host: Host) -> AsyncIterator[Intake]:
    """Take what waits in the inbox of ``home``, then what comes, until the end of the block.

    Opened before tasks are gone on with: a decision that was given in time counts before its approval can expire.
    """
    ports = asker.ports
    approvals = Approvals(ports.writer, ports.reader, ports.clock, Rechecker(asker))
    async with open_inbox(home) as inbox:
        intake = Intake(Files(inbox, ports.writer, ports.reader), service, approvals, ports.clock, host)
        await intake.take()
        async with background(intake.run()):
            yield intake


def this_host(config: GateConfig, environment: Mapping[str, str], policy_version: str, loads: frozenset[str]) -> Host:
    """Return what this process can do for tasks that others hand over."""
    return Host(os.getpid(), present_vendors(config, environment), policy_version, loads)


def present_vendors(config: GateConfig, environment: Mapping[str, str]) -> frozenset[str]:
    """Return the vendors that this process has what it needs for; the built-in model is everywhere."""
    if is_offline(config, environment):
        return frozenset()
    return frozenset(line.name for line in describe(config, environment) if line.present)
