"""Why a request, or one item of it, is not answered: a status code and a reason."""

from __future__ import annotations

from typing import Final

from striate.data.source import Cause

STATUS_OF: Final[dict[Cause, int]] = {"damaged": 422, "foreign": 415, "large": 413}
"""The status code for an item that cannot be read."""


class Failure(Exception):  # noqa: N818 - the answer to a request
    """A request, or an item of it, that is not answered.

    Args:
        status: The status code of HTTP.
        reason: What is wrong, in one line.
        retry_seconds: When to ask again; None where that would not help.
    """

    def __init__(self, status: int, reason: str, *, retry_seconds: int | None = None) -> None:
        self.status, self.reason, self.retry_seconds = status, reason, retry_seconds
        super().__init__(reason)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        return {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
