"""What is no blob and no secret stays to the letter."""

from pathlib import Path

import pytest

from nonebot_plugin_graceful.redaction import SHORTEST_LIMIT, redact

ORDINARY = sorted(Path(__file__).with_name("corpus").glob("ordinary/*.txt"))
LIMIT = 256


@pytest.mark.parametrize("path", ORDINARY, ids=[path.stem for path in ORDINARY])
@pytest.mark.parametrize("limit", [SHORTEST_LIMIT, 256, 1024])
def test_real_lines_stay_to_the_letter(path, limit):
    """Nothing of what bots, libraries and people write is eaten."""
    text = path.read_text("utf-8")

    assert redact(text, limit) == text
    assert redact(text + "\\/", limit) == text + "\\/"  # read as JSON of PHP's
    for line in text.splitlines():
        assert redact(line, limit) == line


def test_corpus_is_there():
    """The test above has something to read, and lines longer than the limit among it."""
    lines = [line for path in ORDINARY for line in path.read_text("utf-8").splitlines()]

    assert len(lines) > 90
    assert sum(len(line) > LIMIT for line in lines) > 20


def test_this_source_stays():
    """Code of one's own is text like any other."""
    for source in Path(redact.__code__.co_filename).parent.glob("*.py"):
        text = source.read_text("utf-8")
        assert redact(text) == text
