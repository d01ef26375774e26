"""The job of ``benchmarks.job`` on LangGraph with its SQLite checkpointer; runs in an environment of its own.

    .cache/langgraph/bin/python benchmarks/langgraph_job.py --jobs N --synchronous NORMAL

Each agent is a subgraph of model → tool → model → model nodes, all five run at once, then a synthesis node; every
super-step is checkpointed. Prints one JSON line: CPU-milliseconds and checkpoints a job.
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
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send

AGENTS = 5
TEXT = "The finding of this agent rests on the numbers it computed. " * 4


class InstantModel(BaseChatModel):
    """A chat model without latency: a tool call, an empty answer, a text."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(self, messages: list[BaseMessage], stop=None, run_manager=None, **options) -> ChatResult:  # noqa: ANN001, ANN003
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], stop=None, run_manager=None, **options) -> ChatResult:  # noqa: ANN001, ANN003
        answers = sum(isinstance(message, AIMessage) for message in messages)
        call = {"name": "calculator", "args": {"expression": "2 * 21"}, "id": "c1"}
        usage = {"input_tokens": 400, "output_tokens": 80, "total_tokens": 480}
        said = "" if answers < 2 else TEXT
        message = AIMessage(said, tool_calls=[call] if answers == 0 else [], usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


class JobState(TypedDict):
    """The job: the agents' results and the answer."""

    query: str
    results: Annotated[list[str], operator.add]
    answer: str


@tool
async def calculator(expression: str) -> str:
    """Compute an arithmetic expression."""
    first, _, second = expression.partition("*")
    return str(int(first) * int(second))


def build(saver: AsyncSqliteSaver):  # noqa: ANN201 — the peer's own type
    """The graph of the job."""
    model = InstantModel()

    async def think(state: MessagesState) -> dict[str, list[BaseMessage]]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    agent = StateGraph(MessagesState)
    agent.add_node("think1", think)
    agent.add_node("act", ToolNode([calculator]))
    agent.add_node("think2", think)
    agent.add_node("think3", think)
    for one, two in [(START, "think1"), ("think1", "act"), ("act", "think2"), ("think2", "think3"), ("think3", END)]:
        agent.add_edge(one, two)
    team = agent.compile(checkpointer=True)

    async def run_agent(state: JobState) -> dict[str, list[str]]:
        done = await team.ainvoke({"messages": [HumanMessage(state["query"])]})
        return {"results": [done["messages"][-1].content]}

    async def synthesize(state: JobState) -> dict[str, str]:
        done = await model.ainvoke([HumanMessage("\n".join(state["results"]))])
        return {"answer": str(done.content) or "answered"}

    def fan_out(state: JobState) -> list[Send]:
        return [Send(f"agent{number}", state) for number in range(AGENTS)]

    job = StateGraph(JobState)
    for number in range(AGENTS):
        job.add_node(f"agent{number}", run_agent)
        job.add_edge(f"agent{number}", "synthesize")
    job.add_node("synthesize", synthesize)
    job.add_conditional_edges(START, fan_out, [f"agent{number}" for number in range(AGENTS)])
    job.add_edge("synthesize", END)
    return job.compile(checkpointer=saver)


async def measure(jobs: int, synchronous: str) -> tuple[float, float]:
    """CPU-milliseconds and stored checkpoints a job."""
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
                assert done["results"] == [TEXT] * AGENTS
            spent = (time.process_time() - begun) * 1000 / jobs
            cursor = await connection.execute("SELECT count(*) FROM checkpoints")
            (checkpoints,) = await cursor.fetchone()
            return spent, checkpoints / (jobs + 2)


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--synchronous", default="NORMAL")
    given = parser.parse_args()
    spent, checkpoints = asyncio.run(measure(given.jobs, given.synchronous))
    print(json.dumps({"cpu_ms": spent, "checkpoints": checkpoints}))


if __name__ == "__main__":
    main()
