"""The pictures of the README: small enough to be read there, and of no machine."""

import getpass
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
README = 1000
"""Pixels that GitHub shows at most."""


@pytest.mark.parametrize("file", sorted(PICTURES.glob("*.svg")), ids=lambda file: file.name)
def test_a_picture_is_of_no_machine(file):
    """It is as wide as a README, and no path in it tells where it was made."""
    text = file.read_text(encoding="utf-8")
    assert int(ET.fromstring(text).get("width")) <= README
    assert not re.search(r"(?<![\w/:.])/(?:tmp|home|root|work|private|Users)/", text)
    assert tempfile.gettempdir() not in text
    assert f"/{getpass.getuser()}/" not in text


def test_what_is_shown_was_made_by_a_script():
    """Each picture is named by one of those that make them."""
    scripts = "".join(each.read_text(encoding="utf-8") for each in PICTURES.glob("*.py"))
    for file in PICTURES.iterdir():
        if file.suffix in (".svg", ".png"):
            assert file.stem in scripts or re.sub(r"\.(zh|en)$", "", file.stem) in scripts, file
