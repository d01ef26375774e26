"""The frozen settings of one task: configuration, with what its caller asked for instead."""

from multiagent.agents.ports import Limits
from multiagent.app.ask import Ask
from multiagent.config.settings import Settings
from multiagent.core.budget import Limit
from multiagent.core.money import usd
from multiagent.core.settings import TaskSettings


def task_settings(settings: Settings, ask: Ask, policy_version: str) -> TaskSettings:
    """Return what a task is frozen with."""
    task, budget = settings.task, settings.budget
    return TaskSettings(
        simple_below=task.simple_below,
        complex_from=task.complex_from,
        max_agents=ask.max_agents or task.max_agents,
        max_nodes=task.max_nodes,
        max_turns=task.max_turns,
        max_repeats=task.max_repeats,
        max_output=task.max_output,
        temperature=task.temperature,
        tier=ask.tier or task.tier,
        model=task.model,
        limit=Limit(
            budget.task_tokens if ask.tokens is None else ask.tokens,
            _dollars(budget.task_usd).pico if ask.pico is None else ask.pico,
        ),
        request_limit=_dollars(budget.request_usd),
        failed_agent=task.failed_agent,
        policy_version=policy_version,
        cache=settings.cache.enabled,
        plan_only=ask.plan_only,
        require_approval=ask.require_approval,
        ask_user=ask.ask_user,
        strategy=ask.strategy,
    )


def scope_limits(settings: Settings) -> Limits:
    """Return the limits that hold beyond one task."""
    budget = settings.budget
    return Limits(
        session=Limit(budget.session_tokens, None),
        user_day=_dollars(budget.user_day_usd),
        tenant_day=_dollars(budget.tenant_day_usd),
        approval_s=settings.approvals.expire_s,
    )


def model_limit(settings: Settings) -> Limit:
    """Return the limit of each model in a UTC day."""
    return _dollars(settings.budget.model_day_usd)


def _dollars(text: str) -> Limit:
    return Limit(None, usd(text) if text else None)
