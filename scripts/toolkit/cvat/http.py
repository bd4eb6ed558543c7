"""How cvat-sdk, and with it cvat-cli, talks HTTP: with limits, tried again where that is safe, to the one server named.

Left alone, the SDK waits without end for a silent server, reads an answer of any length into memory, follows a redirect
with the password in its body, and sends its credentials to whatever host a server names as the place of a download.
"""

import http.client
import io
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from toolkit.core.retry import LONGEST_WAIT, RetryPolicy
from toolkit.cvat.connection import origin
from toolkit.cvat.errors import Kind, SignInWithoutCookies, classify

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import WriteableBuffer
    from urllib3.connectionpool import ConnectionPool
    from urllib3.response import BaseHTTPResponse

LONGEST_ANSWER = 256 * 1024**2
"""Bytes of an answer that is read into memory; the frame names of a task with a million images take half of it."""

LOGIN_PATH = "/api/auth/login"
_AT_ONCE = 256 * 1024
_CONNECT_WITHIN = 10.0
_FAILED_SERVER = (500, 502, 503, 504)
_NOT_YET = 429
_TURNED_AWAY = (_NOT_YET, 503)
"""Statuses by which a server says that it has not carried a request out, so that any may be sent again."""


class RedirectedElsewhere(HTTPError):
    """The server sends us to another host (``place``: scheme, host and port), where credentials must not follow."""

    kind = Kind.REDIRECTED

    def __init__(self, place: str) -> None:
        super().__init__(f"redirected to {place}")
        self.place = place


class UntrustedServer(HTTPError):
    """TLS with the server fails, most often for its certificate."""


class EndlessAnswer(HTTPError):
    """An answer is longer than any that CVAT gives."""

    kind = Kind.ENDLESS


class _Hurried(io.RawIOBase):
    """The bytes of a connection, which must come before an end in time as long as there is one."""

    def __init__(self, raw: io.RawIOBase, end: float) -> None:
        self._raw = raw
        self.end: float | None = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        if self.end is not None and time.monotonic() > self.end:
            raise TimeoutError("timed out")
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer that must be there within a time; its body too when that is asked for."""

    within: float

    def begin(self) -> None:
        self._raw = _Hurried(self.fp.detach(), time.monotonic() + self.within)
        self.fp = io.BufferedReader(self._raw)
        super().begin()
        self._raw.end = None  # a large download may take its time

    def hurry(self) -> None:
        """Give the body no more time than the head had."""
        self._raw.end = time.monotonic() + self.within


class _BoundedConnection:
    """A connection whose answers, read in one piece, have a limit, which counts what comes out of a compression.

    Its time limit is for each piece that it sends, not for a whole upload.
    """

    largest: int
    _response_options: Any

    def getresponse(self) -> Any:
        options = self._response_options
        if options is None or not options.preload_content:
            return super().getresponse()  # type: ignore[misc]
        self._response_options = options._replace(preload_content=False)
        response = super().getresponse()  # type: ignore[misc]
        response._original_response.hurry()
        parts, size = [], 0
        while part := response.read(_AT_ONCE, decode_content=options.decode_content):
            parts.append(part)
            size += len(part)
            if size > self.largest:
                response.close()
                raise EndlessAnswer(f"the answer is longer than {self.largest // 1024**2} MiB")
        response._body = b"".join(parts)
        return response

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes | bytearray):
            super().send(data)  # type: ignore[misc]
            return
        with memoryview(data) as view:
            for start in range(0, len(view), _AT_ONCE):
                super().send(view[start : start + _AT_ONCE])  # type: ignore[misc]


class _NoticedRetry(urllib3.Retry):
    """Tries again what is safe to send twice, and says so."""

    notice: Callable[[str], None]
    attempts: int
    queue_for: float = 0.0
    """Seconds for which turns may be waited for that the server gives out one by one, over and above the attempts."""

    def new(self, **values: Any) -> "_NoticedRetry":
        retry = super().new(**values)
        retry.notice, retry.attempts, retry.queue_for = self.notice, self.attempts, self.queue_for
        return retry

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code in _TURNED_AWAY or super().is_retry(method, status_code, has_retry_after)

    def parse_retry_after(self, retry_after: str) -> float:
        try:
            return super().parse_retry_after(retry_after)
        except HTTPError:  # a header that means nothing
            return 0.0

    def get_backoff_time(self) -> float:
        failures = sum(entry.redirect_location is None for entry in self.history)
        return RetryPolicy(wait=self.backoff_factor).pause(failures) if failures else 0.0

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: "BaseHTTPResponse | None" = None,
        error: Exception | None = None,
        _pool: "ConnectionPool | None" = None,
        _stacktrace: "TracebackType | None" = None,
    ) -> "_NoticedRetry":
        if isinstance(error, SSLError):
            # A certificate does not get better. As an SSLError, cvat-sdk would stumble over it.
            raise UntrustedServer(str(error)) from error
        if response is not None and (location := response.get_redirect_location()):
            target = urljoin(url or "", location)
            if origin(target) != origin(url or ""):
                scheme, host, port = origin(target)
                raise RedirectedElsewhere(f"{scheme}://{host}:{port}")
            return super().increment(method, url, response, error, _pool, _stacktrace)
        asked = self.get_retry_after(response) if response is not None else None
        if response is not None and response.status == _NOT_YET and asked and asked <= self.queue_for:
            self.notice(f"HTTP {_NOT_YET} for {method} {(url or '').split('?')[0]}, another attempt in {asked:g} s")
            waiting = self.new(total=cast("int", self.total) + 1)
            waiting.queue_for -= asked
            return super(_NoticedRetry, waiting).increment(method, url, response, error, _pool, _stacktrace)
        retry = super().increment(method, url, response, error, _pool, _stacktrace)
        if asked is not None and asked > LONGEST_WAIT:
            return self.new(total=0).increment(method, url, response, error, _pool, _stacktrace)
        reason = f"HTTP {response.status}" if response is not None else short_reason(error)
        pause = asked or retry.get_backoff_time()
        self.notice(
            f"{reason} for {method} {(url or '').split('?')[0]}, "
            f"attempt {len(retry.history) + 1} of {self.attempts} in {pause:g} s"
        )
        return retry


def short_reason(error: Exception | None) -> str:
    """Say in a few words why a request failed."""
    kind = classify(error).kind if error is not None else Kind.BROKEN
    words = {Kind.REFUSED: "connection refused", Kind.TIMEOUT: "no answer in time", Kind.UNKNOWN_HOST: "no such host"}
    return words.get(kind, "connection broken")


def harden(
    pool_manager: Any, url: str, policy: RetryPolicy, notice: Callable[[str], None], largest: int = LONGEST_ANSWER
) -> None:
    """Give a ``urllib3.PoolManager`` of a client of cvat-sdk its limits; no request goes to another server than this.

    ``notice`` is called with a line whenever something is tried again; an answer that is read into memory has at most
    ``largest`` bytes.
    """
    retries = _NoticedRetry(
        total=policy.attempts - 1,
        status_forcelist=_FAILED_SERVER,
        backoff_factor=policy.wait,
        raise_on_status=False,
        respect_retry_after_header=True,
        retry_after_max=3600,
    )
    retries.notice, retries.attempts = notice, policy.attempts
    sign_in = retries.new(allowed_methods=None)  # signing in twice does no harm
    # The front door of a local stack lets one sign-in through every two seconds when many come at once. Of several
    # programs side by side, the last waits for more turns than it has attempts.
    sign_in.queue_for = policy.queue
    timeout = urllib3.Timeout(connect=min(_CONNECT_WITHIN, policy.answer), read=policy.answer)
    pool_manager.connection_pool_kw.update(_authority())
    pool_manager.pool_classes_by_scheme = _pool_classes(pool_manager.pool_classes_by_scheme, policy.answer, largest)
    plain = pool_manager.urlopen

    def urlopen(method: str, address: str, redirect: bool = True, **options: Any) -> Any:
        if origin(address) != origin(url):
            # Behind some proxies a server names itself by an address that is not ours; the path is right all the same.
            parts = urlsplit(address)
            address = url + parts.path + (f"?{parts.query}" if parts.query else "")
        policy = sign_in if urlsplit(address).path == LOGIN_PATH else retries
        return plain(method, address, redirect=redirect, **({"retries": policy} | options | {"timeout": timeout}))

    pool_manager.urlopen = urlopen


def _authority() -> dict[str, str]:
    """Trust the certificate authority that ``requests`` is told to trust: one variable serves the whole toolkit."""
    named = os.environ.get("REQUESTS_CA_BUNDLE")
    if not named:
        return {}
    return {"ca_cert_dir" if os.path.isdir(named) else "ca_certs": named}  # noqa: PTH112


def _pool_classes(plain: dict[str, Any], within: float, largest: int) -> dict[str, Any]:
    answer = type("TimedResponse", (_TimedResponse,), {"within": within})
    classes = {}
    for scheme, pool in plain.items():
        values = {"response_class": answer, "largest": largest}
        connection = type("BoundedConnection", (_BoundedConnection, pool.ConnectionCls), values)
        classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    return classes


def sign_in_or_explain(login: Callable[..., None]) -> Callable[..., None]:
    """Wrap cvat-sdk's ``Client.login``, which asserts that it can keep the cookies of a session."""

    def careful(*args: Any, **options: Any) -> None:
        try:
            login(*args, **options)
        except AssertionError as error:
            raise SignInWithoutCookies from error

    return careful
