"""How to reach Temporal, and the key that payloads are sealed with: configured, or the home's own."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from multiagent.app.place import Place
from multiagent.app.temporal import own_key_file, temporal_options
from multiagent.config.settings import Places, Settings, TemporalSettings
from multiagent.core.errors import ConfigInvalid
from tests.unit.app.settings_keys import key


def place(home: Path, **given: object) -> Place:
    return Place(Places(str(home), str(home / "cache")), Settings(temporal=TemporalSettings(**given)))  # type: ignore[arg-type]


def line(byte: int, size: int = 32) -> str:
    return base64.b64encode(bytes([byte]) * size).decode()


@key("temporal.address")
@key("temporal.namespace")
@key("temporal.queues")
@key("temporal.key_file")
@key("temporal.tls")
@key("temporal.api_key")
def test_everything_that_is_configured_is_told(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(f"{line(7)}\n", "ascii")
    options = temporal_options(
        place(tmp_path, address="there:1", namespace="ours", queues="q", tls=True, api_key="s", key_file=tmp_path / "k")
    )
    assert (options.address, options.namespace, options.queue("llm")) == ("there:1", "ours", "q-llm")
    assert (options.tls, options.api_key, options.key) == (True, "s", b"\7" * 32)
    assert "\\x07" not in repr(options)


def test_a_home_makes_a_key_of_its_own_once_that_nobody_else_can_read(tmp_path: Path) -> None:
    first = temporal_options(place(tmp_path / "home"))
    assert len(first.key) == 32
    assert temporal_options(place(tmp_path / "home")).key == first.key
    assert temporal_options(place(tmp_path / "other")).key != first.key
    assert stat.S_IMODE((tmp_path / "home" / "temporal.key").stat().st_mode) == 0o600


def test_processes_that_come_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len({path.read_bytes() for path in pool.map(own_key_file, [tmp_path] * 64)}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["temporal.key"]


def test_further_lines_are_older_keys_that_open_what_they_sealed(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(f"{line(1)}\n{line(2)}\n{line(3)}\n", "ascii")
    options = temporal_options(place(tmp_path, key_file=str(tmp_path / "k")))
    assert (options.key[:1], options.old_keys) == (b"\1", (b"\2" * 32, b"\3" * 32))


@pytest.mark.parametrize("text", ["", "no key", line(1, 31), f"{line(1)}\n{line(1, 16)}", "é"])
def test_a_file_that_holds_no_key_is_refused_with_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_text(text, "utf-8")
    with pytest.raises(ConfigInvalid, match=r"must hold keys of 32 bytes in base64.*urandom"):
        temporal_options(place(tmp_path, key_file=str(tmp_path / "k")))


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"nowhere cannot be read"):
        temporal_options(place(tmp_path, key_file=str(tmp_path / "nowhere")))


def test_a_key_that_a_homes_processes_do_not_know_is_refused_and_a_new_one_above_the_old_is_not(tmp_path: Path) -> None:
    file = tmp_path / "k"
    ours = place(tmp_path / "home", key_file=str(file))
    file.write_text(line(1), "ascii")
    temporal_options(ours)
    file.write_text(line(2), "ascii")
    with pytest.raises(ConfigInvalid, match=r"sealed with key [0-9a-f]{16}; give every process the same keys"):
        temporal_options(ours)
    with pytest.raises(ConfigInvalid, match="the same keys"):
        temporal_options(place(tmp_path / "home"))
    file.write_text(f"{line(2)}\n{line(1)}\n", "ascii")
    assert temporal_options(ours).key == b"\2" * 32
    file.write_text(line(2), "ascii")
    assert temporal_options(ours).key == b"\2" * 32
