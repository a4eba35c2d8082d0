import pytest
from loguru import logger


@pytest.fixture(autouse=True)
def clean_logger(monkeypatch):
    """Loguru is one for the whole process: each test starts without sinks, and leaves none."""
    core = logger._core
    before = (core.handlers, core.patcher, core.min_level, dict(core.extra))
    core.handlers, core.patcher = {}, None
    core.extra.clear()  # NoneBot binds its log level
    yield
    logger.remove()
    core.handlers, core.patcher, core.min_level = before[:3]
    core.extra.clear()
    core.extra.update(before[3])
