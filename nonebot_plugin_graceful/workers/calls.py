"""The calls of a bot: enqueued, waited for, and cancelled when whoever asked does not want them."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger
from nonebot.drivers import Driver

from nonebot_plugin_graceful.core.api import track
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.journal.lives import Lives
from nonebot_plugin_graceful.journal.request import Request
from nonebot_plugin_graceful.journal.requests import Requests

from .database import FILE, POLL, VERSION, WORK, connect, declare
from .engine import Engine
from .functions import Function, WorkerError, functions, install

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowHandleAsync

__all__ = ["Calls"]

T = TypeVar("T")
FEW = 10
"""Calls that are waited for, up to which each result is looked for as often as may be."""
OUTAGE = 30.0
"""Seconds for which the database may be out of reach before a call fails."""


class Calls:
    """What a bot has others do. It imports and touches nothing unless somebody has decorated something.

    Args:
        tree: What is in flight.
        requests: Those that are to be resumed.
        url: The database; empty: a file, and the work is done in this process.
        folder: Where the file is.

    """

    def __init__(self, tree: Tree, requests: Requests, url: str, folder: Path) -> None:
        self._tree = tree
        self._requests = requests
        self._url = url
        self._folder = folder
        self._lives = Lives(folder)
        self._waiting = 0
        self._opening: Future[DBOSClient] | None = None
        self._client: DBOSClient | None = None
        self._engine: Engine | None = None
        self._queues: set[str] = set()

    def install(self, driver: Driver) -> None:
        """Have calls enqueued; and be ready for the first one, if there may be any."""
        install(self)

        @driver.on_startup
        async def ready() -> None:  # pyright: ignore[reportUnusedFunction]
            if functions:
                self.open().add_done_callback(_say_if_not_ready)

    async def call(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Have a function's work done, and wait for its result."""
        keeper = function.keeper
        keeper.check()
        arguments = keeper.arguments(args, kwargs)
        key = await keeper.key_of(arguments)
        waiting = track(function.kind, name=keeper.name.rpartition(".")[2])
        waiting.kind = replace(waiting.kind, limit=None)  # the queue counts
        async with waiting:
            request = self._requests.of(self._tree.current())
            if request is not None and request.unfit:  # it will not be resumed
                request = None
            workflow = self._name(request, key)
            data = await self._wait(function, workflow, json.dumps(arguments), request)
            return await asyncio.to_thread(lambda: keeper.decode(json.loads(data)))

    async def _wait(
        self, function: Function, workflow: str, arguments: str, request: Request | None
    ) -> str:
        enqueuing = self._tree.run_internal(
            _through_outages(lambda: self._enqueue(function, workflow, arguments)), "enqueue"
        )
        try:
            handle = await asyncio.shield(enqueuing)
            result = await _through_outages(lambda: self._result(handle))
        except asyncio.CancelledError:
            if request is None or not self._tree.lifecycle.stopping:
                # Not before it is there.
                enqueuing.add_done_callback(lambda _: self._soon("cancel_workflow", workflow))
            raise
        except Exception as error:
            self._taken(workflow, request)
            raise _as_worker_error(error) from error
        self._taken(workflow, request)
        return result

    async def _enqueue(
        self, function: Function, workflow: str, arguments: str
    ) -> "WorkflowHandleAsync[str]":
        client = await self.open()
        from dbos import WorkflowSerializationFormat  # not before: it takes a while

        if self._engine is not None:
            self._engine.loop = asyncio.get_running_loop()  # a driver may be started again
        if function.kind not in self._queues:
            await asyncio.to_thread(self._declare, client)
        return await client.enqueue_async(
            {
                "workflow_name": WORK,
                "queue_name": function.kind,
                "workflow_id": workflow,  # one that is there already is found
                "app_version": VERSION,
                "serialization_type": WorkflowSerializationFormat.PORTABLE,  # no pickle
            },
            function.keeper.name,
            arguments,
        )

    async def _result(self, handle: "WorkflowHandleAsync[str]") -> str:
        """Look for a result, the less often the more are looked for."""
        self._waiting += 1
        try:
            return await handle.get_result(polling_interval_sec=POLL * max(1, self._waiting / FEW))
        finally:
            self._waiting -= 1

    def open(self) -> "asyncio.Future[DBOSClient]":
        """Have the database ready, and in this process who does the work.

        Importing alone takes half a second: in a thread, which an exit does not wait for.
        """
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = Future()
            self._opening.set_running_or_notify_cancel()  # whoever waits for it may not cancel it
            opening = (self._opening, asyncio.get_running_loop())
            Thread(target=self._open, args=opening, name="graceful workers", daemon=True).start()
        return asyncio.wrap_future(self._opening)

    def _open(self, opening: "Future[DBOSClient]", loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            url = self._url or f"sqlite:///{self._folder / FILE}"
            self._client = connect(url)
            self._declare(self._client)
            if not self._url:
                self._lives.tidy_up()
                self._cancel_what_nobody_will_take(self._client)
                self._engine = Engine(url, self._tree, self._lives, patience=0.0, listed=False)
                self._engine.launch(loop)
        except Exception as error:
            opening.set_exception(error)
        else:
            opening.set_result(self._client)

    def _declare(self, client: "DBOSClient") -> None:
        """See to it that every kind has a queue."""
        kinds = {function.kind for function in functions.values()}
        declare(client, [self._tree.kinds[name] for name in kinds], ours=True)
        self._queues = kinds

    def _cancel_what_nobody_will_take(self, client: "DBOSClient") -> None:
        """Cancel what was asked for outside of a resumed request, by a process that was killed."""
        begun = client.list_workflows(
            status=["ENQUEUED", "PENDING"], load_input=False, load_output=False
        )
        names = [each.workflow_id for each in begun if "." in each.workflow_id]
        over = [name for name in names if self._lives.is_over(name.partition(".")[0])]
        client.cancel_workflows(over)

    def close(self) -> None:
        """End all of it. Takes a second: a process that ends anyway need not."""
        if self._engine is not None:
            self._engine.close()
        if self._client is not None:
            self._client.destroy()
        self._engine = self._client = self._opening = None

    def _name(self, request: Request | None, key: str) -> str:
        """Name a call: the n-th of its request has the name it had before a restart."""
        if request is None:
            return f"{self._lives.own}.{uuid.uuid4().hex}"
        key = f"worker-{key[:16]}"
        number = request.calls[key] = request.calls.get(key, -1) + 1
        return f"{request.name}-{key}-{number}"

    def _taken(self, workflow: str, request: Request | None) -> None:
        """Delete a result as soon as nobody is going to ask for it again."""
        if request is None:
            self._soon("delete_workflow", workflow)
        else:
            request.at_end.append(lambda: self._soon("delete_workflow", workflow))

    def _soon(self, what: str, workflow: str) -> None:
        """Have something done in the database that nobody waits for."""
        if self._client is None:  # the workflow was never enqueued
            return
        doing = asyncio.get_running_loop().run_in_executor(
            None, getattr(self._client, what), workflow
        )
        doing.add_done_callback(lambda done: _say_if_failed(what, done))


def _say_if_not_ready(opened: "asyncio.Future[Any]") -> None:
    if not opened.cancelled() and (error := opened.exception()) is not None:
        logger.warning(f"The workers' database cannot be used, trying again at a call: {error}")


def _say_if_failed(what: str, done: "asyncio.Future[None]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.warning(f"Workers: {what} failed: {error}")


def _as_worker_error(error: Exception) -> WorkerError:
    from dbos import PortableWorkflowError

    if isinstance(error, PortableWorkflowError):
        return WorkerError(error.message, error.name)
    return WorkerError(str(error), type(error).__name__)


async def _through_outages(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the database, and again while it cannot be reached."""
    since: float | None = None
    while True:
        try:
            return await ask()
        except Exception as error:
            from sqlalchemy.exc import OperationalError  # imported by now, or it is no such

            if not isinstance(error, OperationalError):
                raise
            now = time.monotonic()
            if since is None:
                logger.warning(f"The workers' database cannot be reached, trying on: {error.orig}")
            since = since or now
            if now - since > OUTAGE:
                raise
            await asyncio.sleep(1)
