"""A drill: the whole bot in a process of its own, a real signal, and how it ended.

Try it: ``uv run pytest examples/12_drill.py``. It starts ``bot.py`` beside the sandbox, waits for a
line of its log, presses Ctrl+C, and reads the report. Any ``bot.py`` will do.
"""

from pathlib import Path

from nonebot_plugin_graceful.testing import drill

BOT = Path(__file__).parents[1] / "bot.py"


def test_it_ends_in_time(tmp_path: Path) -> None:
    """While the AI service times out, with nobody who had to be given up."""
    result = drill(BOT, "Retrying POST", cwd=tmp_path)
    assert result.exit_code == 0, result.log
    assert result.seconds < 30  # on a machine that is busy with other things, too
    assert result.report is not None
    assert result.report["stragglers"] == []
    assert result.report["kinds"]["image"]["cancelled"] >= 1
