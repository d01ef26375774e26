"""The plugins of the whole test run."""

pytest_plugins = [
    "tests.guard.plugin",
    "tests.servers",
    "tests.spec.plugin",
    "multiagent.testing.sandbox_fixture",
    "multiagent.testing.replayed",
]
