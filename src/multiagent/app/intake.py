"""The owner's end of the inbox, open while the platform is."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from multiagent.app.lifecycle import background
from multiagent.core.clock import Clock
from multiagent.llm.factory import GateConfig, describe, is_offline
from multiagent.orchestrator.intake import Host, Intake
from multiagent.orchestrator.service import Service
from multiagent.storage.factory import open_inbox
from multiagent.storage.sql.base import Writer


@asynccontextmanager
async def open_intake(home: Path, writer: Writer, service: Service, clock: Clock, host: Host) -> AsyncIterator[Intake]:
    """Take what waits in the inbox of ``home``, then what comes, until the end of the block."""
    async with open_inbox(home) as inbox:
        intake = Intake(inbox, writer, service, clock, host)
        await intake.take()
        async with background(intake.run()):
            yield intake


def this_host(config: GateConfig, environment: Mapping[str, str], policy_version: str) -> Host:
    """Return what this process can do for tasks that others hand over."""
    return Host(os.getpid(), present_vendors(config, environment), policy_version)


def present_vendors(config: GateConfig, environment: Mapping[str, str]) -> frozenset[str]:
    """Return the vendors that this process has what it needs for; the built-in model is everywhere."""
    if is_offline(config, environment):
        return frozenset()
    return frozenset(line.name for line in describe(config, environment) if line.present)
