"""Redaction takes time that grows with the text, and no faster."""

import time

import pytest

from benchmarks.shapes import SHAPES
from nonebot_plugin_graceful.redaction import redact

SMALL, LARGE = 66_000, 198_000  # below 65,536 characters, a glance is taken first
TOO_SHORT_TO_MEASURE = 0.02


def seconds(text: str) -> float:
    """Of the processor: others may have it meanwhile."""
    start = time.process_time()
    redact(text)
    return time.process_time() - start


def is_linear(unit: str, ending: str) -> bool:
    """Three times the text takes about three times the time, not nine."""
    large = seconds(unit * (LARGE // len(unit)) + ending)
    return large < TOO_SHORT_TO_MEASURE or large < 6 * seconds(unit * (SMALL // len(unit)) + ending)


@pytest.mark.parametrize("ending", ["", "\\", "!"], ids=["plain", "backslash", "mark"])
@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_time_is_linear(number, ending):
    """For each shape; a machine that is busy with other things gets three tries."""
    assert any(is_linear(SHAPES[number], ending) for _ in range(3))


def test_there_are_enough_shapes():
    """Sixty-six and more. The benchmark takes 5 MB of each, and prints the slowest."""
    assert len(set(SHAPES)) == len(SHAPES) >= 66
