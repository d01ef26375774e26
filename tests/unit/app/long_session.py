"""A session of many long turns."""

import msgspec

from multiagent.app.build import LOCAL_USER, Platform
from multiagent.llm.gate_estimate import estimate_text
from multiagent.orchestrator.handover import Handover
from multiagent.storage.sql.keeping import RememberTurn
from multiagent.storage.sql.ops import PutSession


async def told_of_a_long_session(platform: Platform) -> int:
    """Return how many tokens a task is told of a session with more to tell."""
    storage, recall = platform._storage, platform._service.recall
    assert recall is not None
    turns = [
        RememberTurn(
            tenant="local",
            session="s",
            task=f"t{number}",
            turn=msgspec.json.encode({"task": f"t{number}", "query": "q", "answer": "5 " * 90}),
            time=0,
        )
        for number in range(20)
    ]
    await storage.writer.commit(PutSession(tenant="local", id="s", user="user", time=0), *turns)
    given = await recall(LOCAL_USER, Handover("next", session="s"))
    (message,) = await storage.reader.chain("local", given.context)
    return estimate_text(message.text)
