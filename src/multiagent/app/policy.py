"""The policy that decides here, as the settings say."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from multiagent.config.settings import Settings
from multiagent.policy.base import OpaServer, Policy
from multiagent.policy.factory import open_deciding


def chosen_policy(settings: Settings, cache: Path) -> AbstractAsyncContextManager[Policy]:
    """Open the policy, on an OPA server where one is named. PolicyBroken says why it may not decide."""
    server = OpaServer(settings.policy.url, settings.policy.token, settings.policy.timeout_s)
    directory = Path(settings.policy_dir) if settings.policy_dir else None
    return open_deciding(server, directory, verdicts=cache)
