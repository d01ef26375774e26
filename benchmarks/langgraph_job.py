"""The job of ``benchmarks.job`` on LangGraph with its SQLite checkpointer; runs in an environment of its own.

    .cache/langgraph/bin/python benchmarks/langgraph_job.py --jobs N --synchronous NORMAL

Each agent is a subgraph of model → tool → model → model nodes, all five run at once, then a synthesis node; every
super-step is checkpointed. Prints one JSON line: CPU-milliseconds a job.
"""

import argparse
import asyncio
import json
import operator
import tempfile
import time
from pathlib import Path
from typing import Annotated, TypedDict

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

AGENTS = 5
TEXT = "The finding of this agent rests on the numbers it computed. " * 4


class AgentState(TypedDict):
    """One agent's conversation."""

    agent: str
    messages: Annotated[list[str], operator.add]


class JobState(TypedDict):
    """The job: the agents' results and the answer."""

    query: str
    results: Annotated[list[str], operator.add]
    answer: str


async def model(prompt: str) -> str:
    """A model without latency."""
    return TEXT + str(len(prompt))


async def think(state: AgentState) -> dict[str, list[str]]:
    """A model call on the whole conversation."""
    return {"messages": [await model("\n".join(state["messages"]))]}


async def act(state: AgentState) -> dict[str, list[str]]:
    """A tool call."""
    return {"messages": [str(len(state["messages"]) * 21 * 2)]}


def build(saver: AsyncSqliteSaver):  # noqa: ANN201 — the peer's own type
    """The graph of the job."""
    agent = StateGraph(AgentState)
    agent.add_node("think1", think)
    agent.add_node("act", act)
    agent.add_node("think2", think)
    agent.add_node("think3", think)
    for one, two in [(START, "think1"), ("think1", "act"), ("act", "think2"), ("think2", "think3"), ("think3", END)]:
        agent.add_edge(one, two)
    team = agent.compile(checkpointer=True)

    async def run_agent(state: AgentState) -> dict[str, list[str]]:
        done = await team.ainvoke({"agent": state["agent"], "messages": state["messages"]})
        return {"results": [done["messages"][-1]]}

    async def synthesize(state: JobState) -> dict[str, str]:
        return {"answer": await model("\n".join(state["results"]))}

    def fan_out(state: JobState) -> list[Send]:
        return [
            Send(f"agent{number}", {"agent": str(number), "messages": [state["query"]]}) for number in range(AGENTS)
        ]

    job = StateGraph(JobState)
    for number in range(AGENTS):
        job.add_node(f"agent{number}", run_agent)
        job.add_edge(f"agent{number}", "synthesize")
    job.add_node("synthesize", synthesize)
    job.add_conditional_edges(START, fan_out, [f"agent{number}" for number in range(AGENTS)])
    job.add_edge("synthesize", END)
    return job.compile(checkpointer=saver)


async def measure(jobs: int, synchronous: str) -> float:
    """CPU-milliseconds a job."""
    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(Path(folder) / "langgraph.db") as connection:
            await connection.execute("PRAGMA journal_mode=WAL")
            await connection.execute(f"PRAGMA synchronous={synchronous}")
            saver = AsyncSqliteSaver(connection)
            graph = build(saver)
            begun = 0.0
            for number in range(jobs + 2):
                if number == 2:
                    begun = time.process_time()
                config = {"configurable": {"thread_id": str(number)}}
                done = await graph.ainvoke({"query": "the query", "results": [], "answer": ""}, config)
                assert len(done["results"]) == AGENTS
            return (time.process_time() - begun) * 1000 / jobs


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--synchronous", default="NORMAL")
    given = parser.parse_args()
    print(json.dumps({"cpu_ms": asyncio.run(measure(given.jobs, given.synchronous))}))


if __name__ == "__main__":
    main()
