"""Settings: defaults, file, variables, and errors that say which key."""

from pathlib import Path

import msgspec
import pytest
import yaml

from multiagent.config.settings import Settings
from multiagent.config.sources import load, places
from multiagent.core.errors import ConfigInvalid, InvalidInput

SHIPPED = Path(__file__).parents[3] / "configs" / "multiagent.yaml"


def test_the_shipped_file_shows_exactly_the_defaults() -> None:
    """configs/multiagent.yaml names every setting, with its default."""
    assert yaml.safe_load(SHIPPED.read_text("utf-8")) == msgspec.to_builtins(Settings())


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    """A variable overrides the home's file, which overrides the default."""
    (tmp_path / "config.yaml").write_text("task:\n  max_agents: 3\n  max_turns: 4\n", "utf-8")
    settings = load(tmp_path, {"MULTIAGENT_TASK__MAX_AGENTS": "2", "MULTIAGENT_HOME": "/x"})
    assert (settings.task.max_agents, settings.task.max_turns, settings.task.max_nodes) == (2, 4, 12)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MULTIAGENT_TASK__MAX_AGENT": "2"}, "max_agent"),
        ({"MULTIAGENT_TASK__MAX_AGENTS": "many"}, "task.max_agents"),
        ({"MULTIAGENT_TASK__MAX_AGENTS": "0"}, "task.max_agents"),
        ({"MULTIAGENT_TASK__A__B": "0"}, "MULTIAGENT_TASK__A__B"),
        ({"MULTIAGENT_TASK__TIER": "huge"}, "task.tier"),
        ({"MULTIAGENT_POLICY__TIMEOUT_S": "0"}, "policy.timeout_s"),
        ({"MULTIAGENT_STORAGE__CONNECTIONS": "0"}, "storage.connections"),
        ({"MULTIAGENT_SERVE__HEALTH_PORT": "99999"}, "serve.health_port"),
        ({"MULTIAGENT_SERVE__METRICS_PORT": "-1"}, "serve.metrics_port"),
        ({"MULTIAGENT_SERVE__DRAIN_S": "-1"}, "serve.drain_s"),
        ({"MULTIAGENT_TEMPORAL__QUEUES": ""}, "temporal.queues"),
        ({"MULTIAGENT_TEMPORAL__ADDRESS": ""}, "temporal.address"),
        ({"MULTIAGENT_POLICY__URL": "127.0.0.1:8181"}, "policy.url"),
        ({"MULTIAGENT_POLICY__URL": "http://ada:secret@opa:8181"}, "policy.url"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variables: dict[str, str], named: str) -> None:
    """The error of a wrong setting names its key."""
    with pytest.raises(ConfigInvalid, match=named):
        load(tmp_path, variables)


@pytest.mark.parametrize("text", ["- a\n", "task: [\n", "task: 3\n", "\udcff".encode("utf-8", "surrogateescape")])
def test_a_broken_file_is_refused(tmp_path: Path, text: str | bytes) -> None:
    """A file that is no mapping of sections is an error that names it."""
    (tmp_path / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigInvalid, match="config"):
        load(tmp_path, {})


def test_an_amount_that_is_none_is_refused(tmp_path: Path) -> None:
    """Money that cannot be read is an error."""
    with pytest.raises(InvalidInput, match="not an amount"):
        load(tmp_path, {"MULTIAGENT_BUDGET__TASK_USD": "a lot"})


def test_places_follow_the_environment() -> None:
    """Home and cache have their own variables, else they are under the user's home."""
    assert places({"HOME": "/u"}).home == "/u/.multiagent"
    assert places({"HOME": "/u", "MULTIAGENT_CACHE": "/c"}).cache == "/c"
