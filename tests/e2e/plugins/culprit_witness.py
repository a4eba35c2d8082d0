"""Another plugin: whatever the others do, its hooks are to run. Load it first: its hooks are last."""

from mark import mark
from nonebot import get_driver

driver = get_driver()


@driver.on_shutdown
async def _():
    mark("async hook ran")


@driver.on_shutdown
def _():
    mark("sync hook ran")
