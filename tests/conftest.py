"""What holds for every test."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
