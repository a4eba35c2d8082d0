"""How many retries a host is worth: a token bucket for each kind of work it does, for the whole process.

When a provider is down, retries multiply what it is asked. So, as in gRPC's retry throttling
(proposal A6), every failure takes a token, a retry that succeeds gives back what its call took, and
where there is none left the failure stands. gRPC and botocore refill by successes alone; a bot
that asks twice an hour would be without retries for a day after an outage, so here tokens also
come back by themselves. By kind, since a provider's pictures may fail while its chat is well.
"""

import threading
import time
from weakref import WeakKeyDictionary

from tenacity import RetryCallState

__all__ = ["CAPACITY", "REFILL", "Bucket", "bucket_of", "give_back", "reset"]

CAPACITY = 100.0
"""Failures in a row that a host may have before its retries stop."""
REFILL = 0.2
"""Tokens a second: a retry every five seconds is made whatever comes back."""
_FORGET = 256
"""Buckets from which on the full ones are forgotten."""

_buckets: dict[tuple[str, str], "Bucket"] = {}
_taken: WeakKeyDictionary[RetryCallState, list["Bucket"]] = WeakKeyDictionary()
"""Where each call has taken its tokens."""
_lock = threading.Lock()


class Bucket:
    """The tokens of one host, for one kind of work."""

    __slots__ = ("_as_of", "_tokens")

    def __init__(self) -> None:
        self._tokens = CAPACITY
        self._as_of = time.monotonic()

    @property
    def tokens(self) -> float:
        """How many there are."""
        now = time.monotonic()
        self._tokens = min(CAPACITY, self._tokens + (now - self._as_of) * REFILL)
        self._as_of = now
        return self._tokens

    def take(self, call: RetryCallState | None = None) -> bool:
        """Take a token for a failure. False: there is none, so no retry.

        Args:
            call: Whose failure; it may be given back.

        """
        with _lock:
            if self.tokens < 1:
                return False
            self._tokens -= 1
            if call is not None:
                _taken.setdefault(call, []).append(self)
            return True

    def put(self) -> None:
        """Put a token back."""
        self._tokens = min(CAPACITY, self.tokens + 1)


def give_back(call: RetryCallState) -> None:
    """Return the tokens of a call that succeeded after all."""
    if call.attempt_number == 1:  # it has had no failure
        return
    with _lock:
        for bucket in _taken.pop(call, []):
            bucket.put()


def bucket_of(host: str, kind: str = "") -> Bucket:
    """Find a host's bucket for a kind of work; without a kind, that of what is no known work."""
    bucket = _buckets.get((host, kind))
    if bucket is None:
        with _lock:
            if len(_buckets) >= _FORGET:
                for full in [key for key, b in _buckets.items() if b.tokens >= CAPACITY]:
                    del _buckets[full]
            bucket = _buckets.setdefault((host, kind), Bucket())
    return bucket


def reset() -> None:
    """Give every host full buckets."""
    _buckets.clear()
