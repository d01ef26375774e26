"""Proxies of the environment, as vendors are reached through them."""

import pytest

from multiagent.llm.providers.http import Connections

URL = "https://api.acme.test/v1/chat/completions"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.acme.test"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "*"}, None),
    ],
)
def test_a_vendor_is_reached_through_the_usual_variables(environment: dict[str, str], proxy: str | None) -> None:
    assert Connections(environment).proxy(URL) == proxy
