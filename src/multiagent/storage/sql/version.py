"""The version of the schema that this program writes: one higher with each migration."""

from typing import Final

VERSION: Final = 6
