"""DBOS in this process: it takes work from the queues and has it done in our event loop."""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

from loguru import logger

from nonebot_plugin_graceful.core.failures import log_failure
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section
from nonebot_plugin_graceful.journal import codec

from .database import NAME, VERSION, WORK
from .functions import Function, functions, working
from .presence import Presence

__all__ = ["Engine"]

ATTEMPTS = 10
"""How often work is begun at most: it may be what ends its workers."""
LOOK = 1.0
"""Seconds between two looks for who has gone."""


class Engine:
    """What does the work of some kinds.

    What was begun and not ended when the process goes, be it told to stop or killed, stays
    pending in the database, and is begun again by the next one that sees it gone.

    Args:
        url: The database.
        tree: What is in flight in this process.
        presence: Ours.
        patience: Seconds for which somebody has to be seen gone.
        listed: Whether the work is to be listed and counted; a bot has the wait for it listed.

    """

    def __init__(
        self, url: str, tree: Tree, presence: Presence, *, patience: float, listed: bool
    ) -> None:
        self.loop: asyncio.AbstractEventLoop
        """Where the work is done."""
        self._url = url
        self._tree = tree
        self._presence = presence
        self._patience = patience
        self._listed = listed
        self._closed = Event()
        self._looking: Thread | None = None

    def launch(self, loop: asyncio.AbstractEventLoop, kinds: Iterable[str] | None = None) -> None:
        """Begin. Blocks; not in an event loop, since DBOS would run there altogether.

        Args:
            loop: Where the work is to be done.
            kinds: Of what; None: of every kind that has a queue.

        """
        from dbos import DBOS

        self.loop = loop
        self._presence.begin()
        DBOS(
            config={
                "name": NAME,
                "application_version": VERSION,
                "executor_id": self._presence.own,
                "system_database_url": self._url,
                "sys_db_pool_size": 5,  # connections; PostgreSQL has 100 for all
                "log_level": "WARNING",
            }
        )

        @DBOS.workflow(name=WORK, max_recovery_attempts=ATTEMPTS)
        async def work(name: str, arguments: str) -> str:  # pyright: ignore[reportUnusedFunction]
            # preemptible: a cancelled workflow's ends within a second
            return await DBOS.run_step_async(
                {"name": name, "preemptible": True}, self._do, name, arguments
            )

        if kinds is not None:
            DBOS.listen_queues(list(kinds))
        DBOS.launch()
        looking = Thread(target=self._look_for_the_gone, name="graceful workers", daemon=True)
        looking.start()
        self._looking = looking

    def close(self) -> None:
        """End all of it. Takes a second: a process that ends anyway need not."""
        from dbos import DBOS

        self._closed.set()
        DBOS.destroy(destroy_registry=True)
        if self._looking is not None:
            self._looking.join()
        self._presence.end()

    async def _do(self, name: str, arguments: str) -> str:
        """Have a function's work done, in DBOS's own loop. Arguments and result are JSON."""
        function = functions.get(name)
        if function is None:
            raise LookupError(f"{name} is not among the functions of this worker")
        function.keeper.check()
        work = self._work(function, json.loads(arguments))
        try:
            done = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:  # it is closed, and the process about to end
            work.close()
            raise asyncio.CancelledError from None
        result = function.keeper.encode(await asyncio.wrap_future(done))  # large ones take a while
        return json.dumps(codec.encode(result) if isinstance(result, bytes) else result)

    async def _work(self, function: Function, arguments: Any) -> Any:
        """Do it here, as work that is nobody's: whoever asked may have a wait listed, or be gone."""
        tree, task = self._tree, asyncio.current_task()
        if tree.lifecycle.stopping:
            raise asyncio.CancelledError(tree.lifecycle.reason)
        assert task is not None
        working.set(True)
        kind = replace(tree.kinds[function.kind], limit=None)  # the queue counts
        section = Section(kind, function.keeper.name, notice=False, resume=False)
        work = tree.open_work(section, task, None)
        work.listed, work.aware = self._listed, True
        try:
            result = await function.keeper.call(arguments)
        except Exception as error:
            log_failure(section.name or "", error)
            raise
        finally:
            tree.close(section)
        if self._listed:
            logger.info(f"Done: {section.name}, {time.monotonic() - section.started:.1f} s")
        return result

    def _look_for_the_gone(self) -> None:
        """Have work begun again that was begun by who is not there any more. In a thread."""
        gone: dict[str, float] = {}
        failing = False
        while True:
            try:
                gone = self._recover(gone)
            except Exception as error:
                if not failing and not self._closed.is_set():
                    logger.warning(f"Cannot see who else works: {error}")
                failing = True
            else:
                failing = False
            if self._closed.wait(LOOK):
                return

    def _recover(self, gone: dict[str, float]) -> dict[str, float]:
        from dbos import DBOS

        self._presence.begin()
        now = time.monotonic()
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        doing = {each.executor_id for each in pending if each.executor_id}
        gone = {life: gone.get(life, now) for life in doing if self._presence.is_over(life)}
        due = [life for life, since in gone.items() if now - since >= self._patience]
        if due:
            # Only what is still theirs is put back into its queue, whoever else does so as well.
            DBOS._recover_pending_workflows(due)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return gone
