"""Ports for servers that begin to listen only later."""

import random
import socket

__all__ = ["free_port"]


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, and which nobody else is given here.

    It lies below those that systems hand out by themselves, one of which any server or connection
    might have by the time the bot listens. A UDP socket marks it as taken, and goes with our
    process.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        taken = socket.socket(type=socket.SOCK_DGRAM)
        try:
            taken.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            taken.close()
        else:
            _taken.append(taken)
            return port


_taken: list[socket.socket] = []
