"""Wrong and mistaken settings are spoken of when the plugin loads."""


async def test_a_kind_without_its_values_is_refused(bot_factory):
    """With the setting's name; not accepted, to break the drain one day."""
    settings = {"graceful_kinds": {"image": {"grace": None}, "llm": {"tier": None}}}
    bot = await bot_factory(connect=False, settings=settings)
    assert await bot.wait(timeout=60) > 0
    assert not bot.killed, bot.log
    for kind, value in (("image", "grace"), ("llm", "tier")):
        assert bot.find(f"GRACEFUL_KINDS[{kind}][{value}]"), bot.log


def warning_of(bot, name):
    """Return the warning that names a setting."""
    lines = [line for line in bot.lines if "WARNING" in line.text and name in line.text]
    return lines[0].text if lines else None


async def test_a_grace_that_the_deadline_cuts_is_warned_about(bot_factory, onebot):
    """With both settings' names, and not when the deadline leaves enough."""
    kinds = {"image": {"grace": 30}}
    for deadline, warned in ((8, True), (38, False)):
        settings = {"graceful_kinds": kinds, "graceful_deadline": deadline}
        bot = await bot_factory(settings=settings)
        warning = warning_of(bot, "GRACEFUL_KINDS")
        assert bool(warning) == warned, bot.log
        if warned:
            for word in ("image", "30", "GRACEFUL_DEADLINE"):
                assert word in warning
        bot.kill()
        await onebot.wait_closed()
