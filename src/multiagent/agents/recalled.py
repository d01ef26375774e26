"""What a task was told of its session at its submit, as a section of its prompts."""

import msgspec

from multiagent.agents.memo import Chains
from multiagent.agents.render import Section
from multiagent.core.label import Labels
from multiagent.core.task import TaskInput


async def session_of(chains: Chains, tenant: str, task: TaskInput) -> tuple[tuple[Section, ...], Labels]:
    """Return the ``<session>`` section, if there is one, and the labels of what it holds.

    Its form is that of ``memory.compaction.Shown``: ``{"session", "turns": [{"n", "query", "answer"}], "open",
    "files", "left_out"}``.
    """
    if not task.context:
        return (), ()
    (message,) = await chains.load(tenant, task.context)
    return (Section("session", msgspec.Raw(message.text.encode())),), message.labels
