"""A vendor's quirks, as data."""

from typing import Final, Literal

import msgspec


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds that a vendor may take: to connect, to the first chunk, between chunks, and for the whole answer."""

    connect: float = 10.0
    first_byte: float = 60.0
    idle: float = 30.0
    total: float = 600.0


class Profile(msgspec.Struct, frozen=True):
    """What is particular to a vendor.

    ``on_disconnect``: a stream that ended without usage may have been billed (``lost``, counted in full), or is known
    to be free. ``output_field`` is the request's name for max output. ``json_schema``: structured output by schema,
    else only as a JSON object. ``stream_usage``: usage must be asked for. ``fixed_temperature`` are the beginnings of
    the names of models that refuse a temperature. ``bills_estimate``: a prompt's tokens are known beforehand, because
    what is billed is our own estimate of them.
    """

    on_disconnect: Literal["lost", "free"] = "lost"
    output_field: str = "max_tokens"
    json_schema: bool = True
    stream_usage: bool = True
    fixed_temperature: tuple[str, ...] = ()
    bills_estimate: bool = False


PROFILES: Final[dict[str, Profile]] = {
    "default": Profile(),
    "offline": Profile(on_disconnect="free", bills_estimate=True),
    "openai": Profile(output_field="max_completion_tokens", fixed_temperature=("o1", "o3", "o4", "gpt-5")),
    "deepseek": Profile(json_schema=False),
    "ollama": Profile(),
}
"""By name, as ``profile`` in configs/models.yaml; a vendor without one is ``default``."""
