"""Connections in httpcore's pools that are nobody's, and would keep their places for ever.

Where one request is cancelled, the pool makes a new connection for the next that waits; if that is
cancelled in the same moment, the pool forgets the request and keeps the connection, which nobody
will ever open. With httpx alone one hardly sees it, but one order cancels everything of a kind.
A second cancellation that comes while a connection is being closed leaves one behind, too.
httpcore2 clears the former away by itself, and what we do here is the same.
"""

from typing import Any

__all__ = ["drop_unowned"]


async def drop_unowned(transport: Any) -> None:
    """Close what belongs to no request of a transport's pool, and let others have its place.

    Args:
        transport: httpx's or httpx2's; one that has another pool, or none, is left alone.

    """
    try:
        pool = transport._pool  # noqa: SLF001
        owned = {id(request.connection) for request in pool._requests}  # noqa: SLF001
        unowned = [
            each
            for each in pool._connections  # noqa: SLF001
            if id(each) not in owned and not (each.is_idle() or each.is_closed())
        ]
        if not unowned:
            return
        for each in unowned:
            pool._connections.remove(each)  # noqa: SLF001
        closing = [*unowned, *pool._assign_requests_to_connections()]  # noqa: SLF001
        await pool._close_connections(closing)  # noqa: SLF001
    except Exception:
        # None of this is public: with a version that is made otherwise all is as it is without us.
        return
