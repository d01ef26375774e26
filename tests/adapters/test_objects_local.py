"""The suite of objects over local files."""

from pathlib import Path

import pytest

from multiagent.storage.objects.base import Objects
from multiagent.storage.objects.local import LocalObjects
from multiagent.testing.suites.objects import ObjectsSuite


@pytest.mark.requirement("S.data.objects")
class TestLocal(ObjectsSuite):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        return LocalObjects(tmp_path / "objects")
