"""How many retries a host is worth: a token bucket each, shared by the whole process.

When a provider is down, retries multiply what it is asked. So, as in gRPC's retry throttling
(proposal A6), every failure takes a token, a retry that succeeds gives back what its call took, and
where there is none left the failure stands. gRPC and botocore refill by successes alone; a bot
that asks twice an hour would be without retries for a day after an outage, so here tokens also
come back by themselves.
"""

import threading
import time

__all__ = ["CAPACITY", "REFILL", "Bucket", "bucket_of", "reset"]

CAPACITY = 100.0
"""Failures in a row that a host may have before its retries stop."""
REFILL = 0.2
"""Tokens a second: a retry every five seconds is made whatever comes back."""
_FORGET = 256
"""Hosts from which on those with a full bucket are forgotten."""

_buckets: dict[str, "Bucket"] = {}
_lock = threading.Lock()


class Bucket:
    """The tokens of one host."""

    __slots__ = ("_as_of", "_tokens", "host")

    def __init__(self, host: str) -> None:
        self.host = host
        self._tokens = CAPACITY
        self._as_of = time.monotonic()

    @property
    def tokens(self) -> float:
        """How many there are."""
        now = time.monotonic()
        self._tokens = min(CAPACITY, self._tokens + (now - self._as_of) * REFILL)
        self._as_of = now
        return self._tokens

    def take(self) -> bool:
        """Take a token for a failure. False: there is none, so no retry."""
        with _lock:
            if self.tokens < 1:
                return False
            self._tokens -= 1
            return True

    def give_back(self, count: int) -> None:
        """Return the tokens of a call that succeeded after all."""
        with _lock:
            self._tokens = min(CAPACITY, self.tokens + count)


def bucket_of(host: str) -> Bucket:
    """Find a host's bucket."""
    bucket = _buckets.get(host)
    if bucket is None:
        with _lock:
            if len(_buckets) >= _FORGET:
                for full in [b.host for b in _buckets.values() if b.tokens >= CAPACITY]:
                    del _buckets[full]
            bucket = _buckets.setdefault(host, Bucket(host))
    return bucket


def reset() -> None:
    """Give every host a full bucket."""
    _buckets.clear()
