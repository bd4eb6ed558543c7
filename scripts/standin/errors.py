"""Answers other than success."""

from typing import Any


class ApiError(Exception):
    """An answer other than success; ``body`` is what the client gets as JSON."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(body)
        self.status = status
        self.body = body
        self.headers = headers or {}


class NotFoundError(ApiError):
    """Nothing of this kind matches: 404 with Django's sentence."""

    def __init__(self, kind: str) -> None:
        super().__init__(404, {"detail": f"No {kind} matches the given query."})


class InvalidError(ApiError):
    """The request does not make sense: 400 with a list of sentences."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(400, list(sentences))


class PlainError(ApiError):
    """An answer other than success whose body is the sentence itself, not JSON."""


class ServerError(Exception):
    """What a CVAT answers with its 500 page."""
