"""Who may ask a web server what: decided from the method, the path and the headers alone.

A browser sends requests that a page of somebody else's made, from inside the user's network. Three
headers tell them: `Host` names the server as the page knows it (a name that an attacker points at
127.0.0.1 is not among the hosts), `Origin` and `Sec-Fetch-Site` name the page. A token keeps out
what sends none of these.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values, as ASGI has them."""

SAFE_METHODS: Final = ("GET", "HEAD")
"""Methods that change nothing."""

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Scripts and styles from files of the server's own only, none inline; no frames around a page."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request, and all of them together, may take.

    Attributes:
        body_bytes: The largest body of a request.
        all_bodies_bytes: The most that the bodies of all requests at work hold together.
        parts: The most parts of a form, or inputs of a JSON document.
        json_depth: The deepest nesting of lists and objects in a JSON document.
        reading_seconds: The time in which a request must have arrived, its headers and its body;
            its connection is closed within a second more.
        requests: The most requests at work at the same time.
        connections: The most open connections.
    """

    body_bytes: int = 32 * 2**20
    all_bodies_bytes: int = 256 * 2**20
    parts: int = 64
    json_depth: int = 16
    reading_seconds: float = 9.0
    requests: int = 256
    connections: int = 512


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request is not answered.

    Attributes:
        status: The status code of HTTP.
        reason: What is wrong with it and what to do, in one line.
    """

    status: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Who may ask what.

    Attributes:
        hosts: What the `Host` header may name, without the port.
        any_address: Whether it may be any address in digits, which no attacker can point elsewhere.
        token: What a request has to show in `Authorization: Bearer` or `X-Striate-Token`.
        trusts_programs: Whether a request that no page of a browser made needs no token.
        private: Whether GET and HEAD need the token too.
        open_paths: Paths that can be read without a token all the same.
    """

    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False
    token: str
    trusts_programs: bool = False
    private: bool = False
    open_paths: frozenset[str] = frozenset()

    def refusal(self, method: str, path: str, headers: Headers) -> Refusal | None:
        """Why a request is refused; None where it may be answered.

        Args:
            method: The method of HTTP, in capitals.
            path: The path, decoded once.
            headers: The headers of the request.
        """
        hosts = _values(headers, b"host")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return Refusal(status=421, reason="the Host header names no host of this server")
        safe = method in SAFE_METHODS
        if not _from_own_page(headers, hosts[0], safe):
            return Refusal(status=403, reason="a page of another site may not ask this server")
        if self._is_open(safe, path, headers) or self._shows_token(headers):
            return None
        return Refusal(
            status=401, reason="a token is needed: send the header Authorization: Bearer TOKEN"
        )

    def _knows(self, host: str) -> bool:
        name = host_name(host)
        return name in self.hosts or (self.any_address and is_address(name))

    def _is_open(self, safe: bool, path: str, headers: Headers) -> bool:
        """Whether a request needs no token."""
        if safe:
            return not self.private or path in self.open_paths
        return self.trusts_programs and not _from_browser(headers)

    def _shows_token(self, headers: Headers) -> bool:
        shown = [
            *_values(headers, b"x-striate-token"),
            *(
                value[len("bearer ") :].strip()
                for value in _values(headers, b"authorization")
                if value.lower().startswith("bearer ")
            ),
        ]
        return any(secrets.compare_digest(t.encode(), self.token.encode()) for t in shown)


def policy_for(
    host: str,
    token: str | None,
    *,
    names: Iterable[str] = (),
    trusts_programs: bool = False,
    open_paths: Iterable[str] = (),
) -> Policy | None:
    """The policy of a server that listens at an address; None where it needs a token and has none.

    Args:
        host: The address or name that the server listens at.
        token: The token, where the user gave one.
        names: Further names by which the server is known.
        trusts_programs: Whether programs of this machine need no token on a loopback address.
        open_paths: Paths that can be read without a token on an address of the network.
    """
    hosts = LOOPBACK_NAMES | {bracketed(host).lower(), *(name.lower() for name in names)}
    if is_loopback(host):
        asked = bool(token)
        return Policy(
            hosts=hosts,
            token=token or secrets.token_urlsafe(32),
            trusts_programs=trusts_programs and not asked,
            private=asked,
            open_paths=frozenset(open_paths),
        )
    if not token:
        return None
    return Policy(
        hosts=hosts, any_address=True, token=token, private=True, open_paths=frozenset(open_paths)
    )


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, and of no network.

    >>> [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether the name of a host is an address in digits.

    >>> is_address("192.168.0.7"), is_address("[fe80::1]"), is_address("example.org")
    (True, True, False)
    """
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def bracketed(host: str) -> str:
    """An address as a URL has it: of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def host_name(host: str) -> str:
    """The name in a `Host` header, in lower case and without the port.

    >>> host_name("LocalHost:8000"), host_name("[::1]:80"), host_name("a.example")
    ('localhost', '[::1]', 'a.example')
    """
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host.lower()


def _from_browser(headers: Headers) -> bool:
    """Whether a page in a browser made the request."""
    return bool(_values(headers, b"origin") or _values(headers, b"sec-fetch-site"))


def _from_own_page(headers: Headers, host: str, safe: bool) -> bool:
    """Whether no page of another site made the request; following a link is allowed."""
    sites = _values(headers, b"sec-fetch-site")
    modes = _values(headers, b"sec-fetch-mode")
    follows_link = safe and modes == ["navigate"]
    if any(site not in ("same-origin", "none") for site in sites) and not follows_link:
        return False
    return follows_link or all(_is_own(value, host) for value in _values(headers, b"origin"))


def _is_own(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]


SECURITY_HEADERS: Final[Mapping[bytes, bytes]] = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""Set on every answer that does not set them itself."""
