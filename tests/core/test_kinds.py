"""Kinds, and whose they are."""

import pytest

from nonebot_plugin_graceful.core.kinds import Kinds


@pytest.mark.parametrize(
    ("plugin", "kind"),
    [
        ("painter", "image"),
        ("painter:brush", "image"),
        ("painter:brush:tip", "image"),
        ("painter:words", "llm"),
        ("painter:words:rhymes", "llm"),
        ("painters", "handler"),
        ("other:painter", "handler"),
        (None, "handler"),
    ],
)
def test_a_part_of_a_plugin_inherits_the_kind_it_was_given(plugin, kind):
    """The nearest counts; a plugin that merely begins with the same letters is no part of it."""
    kinds = Kinds(plugins={"painter": "image", "painter:words": "llm"})
    assert kinds.of_plugin(plugin, "handler").name == kind


def test_what_is_left_out_keeps_its_default():
    """Settings are merged over the defaults."""
    kinds = Kinds({"image": {"limit": 2}, "video": {"tier": 1}})
    assert (kinds["image"].tier, kinds["image"].limit) == (0, 2)
    assert (kinds["video"].tier, kinds["video"].grace) == (1, 0)
    assert kinds.declared == {"image", "llm", "handler", "job", "background", "video"}


def test_a_kind_that_nobody_declared_is_one_too():
    """It is stopped in the tier of handlers, without grace."""
    kinds = Kinds()
    assert (kinds["music"].tier, kinds["music"].grace) == (2, 0)
    assert "music" not in kinds.declared


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_kind_has_a_name(name):
    """Anything else is an error that says what is meant."""
    with pytest.raises(TypeError, match="a kind has to be a name"):
        Kinds()[name]
