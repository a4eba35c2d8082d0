"""The command line."""

import pytest

from nonebot_plugin_graceful.__main__ import COMMANDS, main


def test_a_command_is_required(capsys):
    """Without one there is help."""
    with pytest.raises(SystemExit):
        main([])

    assert "command" in capsys.readouterr().err


def test_help_lists_the_commands(capsys):
    """Each with what it does."""
    with pytest.raises(SystemExit):
        main(["--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {command.HELP}" in said for name, command in COMMANDS.items())


def test_a_command_is_run_with_its_options(monkeypatch):
    """Its exit code is the program's."""

    class Doctor:
        HELP = "see what is wrong"
        DESCRIPTION = ""

        @staticmethod
        def add_arguments(parser):
            parser.add_argument("--code", type=int)

        @staticmethod
        def run(options):
            return options.code

    monkeypatch.setitem(COMMANDS, "doctor", Doctor)

    assert main(["doctor", "--code", "3"]) == 3
