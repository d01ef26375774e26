"""The guard that keeps tests on this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard.plugin import scrub
from tests.guard.sitecustomize import is_local

OUTSIDE = ("203.0.113.7", 443)
"""An address reserved for documentation: nobody is there."""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "::1", "", None, b"localhost"])
def test_this_machine_is_local(host: object) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["203.0.113.7", "api.example.com", "10.0.0.1", "localhost.example.com", b"example.com"]
)
def test_any_other_place_is_not(host: object) -> None:
    assert not is_local(host)


def test_a_connection_to_the_outside_is_refused() -> None:
    with socket.socket() as one, pytest.raises(PermissionError, match="stay on this machine"):
        one.connect(OUTSIDE)


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(PermissionError):
        socket.getaddrinfo("api.example.com", 443)


def test_a_process_that_a_test_starts_is_kept_in_as_well() -> None:
    code = f"import socket; socket.socket().connect({OUTSIDE!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_vendor_keys_and_the_users_own_settings_are_scrubbed() -> None:
    told = {"OPENAI_API_KEY": "k", "AWS_PROFILE": "p", "OLLAMA_BASE_URL": "u", "MULTIAGENT_HOME": "h", "PATH": "p"}
    assert scrub(told) == ["OPENAI_API_KEY", "AWS_PROFILE", "OLLAMA_BASE_URL", "MULTIAGENT_HOME"]


def test_each_test_has_a_data_folder_of_its_own() -> None:
    assert "multiagent-tests-" in os.environ["MULTIAGENT_HOME"]
    assert not Path(os.environ["MULTIAGENT_HOME"]).exists()
