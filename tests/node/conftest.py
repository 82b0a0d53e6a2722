"""Opening a profile narrows the process's umask and core limit: put them back."""

import os
import resource
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    umask = os.umask(0o022)
    os.umask(umask)
    core = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    os.umask(umask)
    resource.setrlimit(resource.RLIMIT_CORE, core)
