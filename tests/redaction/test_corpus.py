"""How many secrets are found, and how many false alarms there are, over a corpus of lines."""

import random
import sys
from pathlib import Path

import pytest

from nonebot_plugin_graceful.redaction import redact

from .drawing import fill

CORPUS = Path(__file__).with_name("corpus")


def lines_of(name: str) -> list[str]:
    lines = (CORPUS / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


SECRETS = lines_of("secrets")
LOOKALIKES = lines_of("lookalikes")


def test_the_corpus_is_large_enough():
    """Three hundred lines, half of them without a secret."""
    assert len(SECRETS) >= 150
    assert len(LOOKALIKES) >= 150


def test_99_of_100_secrets_are_found(capsys):
    """The figure is printed; each secret is drawn anew, fifty times."""
    dice = random.Random(1)
    count, missed = 0, {}
    for line in SECRETS:
        for _ in range(50):
            text, _, secrets = fill(line, dice)
            said = redact(text)
            count += len(secrets)
            for secret in secrets:
                if secret in said:
                    missed[line] = missed.get(line, 0) + 1
    misses = sum(missed.values())
    with capsys.disabled():
        sys.stdout.write(
            f"\nsecrets: {count:,} drawn for {len(SECRETS)} lines, recall {1 - misses / count:.2%}\n"
        )

    assert misses * 100 <= count, missed


def test_1_false_alarm_in_100_lines(capsys):
    """The figure is printed."""
    wrong = [(line, redact(line)) for line in LOOKALIKES if redact(line) != line]
    with capsys.disabled():
        share = len(wrong) / len(LOOKALIKES)
        sys.stdout.write(f"\nlook-alikes: {len(LOOKALIKES)} lines, false alarms {share:.2%}\n")

    assert len(wrong) * 100 <= len(LOOKALIKES), wrong


@pytest.mark.parametrize("number", range(len(SECRETS)))
def test_the_secret_goes_and_the_rest_stays(number):
    """Nothing but the secret is cut out; and twice is once."""
    text, masked, _ = fill(SECRETS[number], random.Random(number))

    assert redact(text) == masked
    assert redact(masked) == masked
