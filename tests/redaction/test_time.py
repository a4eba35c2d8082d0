"""Redaction takes time that grows with the text, and no faster."""

import time

import pytest

from benchmarks.shapes import SHAPES
from nonebot_plugin_graceful.redaction import redact


def seconds(text: str) -> float:
    """Of the processor, the better of two: others may have it meanwhile."""
    best = 9.0
    for _ in range(2):
        start = time.process_time()
        redact(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("ending", ["", "\\", "!"], ids=["plain", "backslash", "mark"])
@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_time_is_linear(number, ending):
    """Four times the text takes about four times the time, not sixteen."""
    unit = SHAPES[number]
    small, large = (seconds(unit * (size // len(unit)) + ending) for size in (40_000, 160_000))

    # a time too short to be measured is short enough
    assert large < 0.02 or large < small * 9


def test_there_are_enough_shapes():
    """Sixty-six and more. The benchmark takes 5 MB of each."""
    assert len(set(SHAPES)) == len(SHAPES) >= 66
