"""Access to a server: base URL, key, headers and query; and the client that uses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient

from collab.errors import ConfigError
from collab.texts import without_credentials
from collab_backends.remote.bounded import ACCEPTED, bounding
from collab_backends.remote.patience import Patience

BEARER = "Authorization"
"""The header that holds a key in the way of the protocol."""

_SECRET = ("authorization", "key", "token", "secret", "cookie", "password")


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached.

    Attributes:
        base_url: With scheme and version path, such as `http://127.0.0.1:8000/v1`.
        key: The secret; may be empty.
        key_header: The header that holds it; after "Bearer" if it is `Authorization`.
        headers: Sent with every request.
        query: Put behind every URL.
    """

    base_url: str
    key: str = field(default="", repr=False)
    key_header: str = BEARER
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def connected_client(access: Access, patience: Patience, connections: int) -> AsyncOpenAI:
    """Return a client of a server, to be closed; it retries nothing."""
    return AsyncOpenAI(
        base_url=access.base_url,
        api_key=access.key or "none",
        max_retries=0,
        timeout=patience.silence_s,
        default_headers=dict(access.headers),
        default_query=dict(access.query),
        http_client=_http_client(access, patience, connections),
    )


def ensure_no_secret(names: Mapping[str, str], option: str) -> None:
    """Check that no header or query field holds a key.

    Raises:
        ConfigError: One does, by its name.
    """
    for name in names:
        if any(sign in name.lower() for sign in _SECRET):
            raise ConfigError(
                f"{option} names {name!r}, which looks like a secret; put the key where "
                "`api_key_env` or `api_key_file` says, and its header's name into `key_header`"
            )


def check_base_url(base_url: str) -> str:
    """Return a base URL without its last slash.

    Raises:
        ConfigError: It cannot be one.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"{without_credentials(base_url)!r} is not a base URL; write it with its scheme "
            "and version path, such as http://127.0.0.1:8000/v1"
        )
    if parts.fragment or parts.password or parts.username or parts.query:
        raise ConfigError(
            f"{without_credentials(base_url)!r} holds a user, a password or a query; write the URL "
            "without, and put the key where `api_key_env` or `api_key_file` says, and what else "
            "the query holds into `extra_query`"
        )
    for path in ("/chat/completions", "/completions", "/models"):
        if parts.path.rstrip("/").endswith(path):
            raise ConfigError(
                f"{without_credentials(base_url)!r} is the URL of one call; leave out {path!r}"
            )
    return base_url.rstrip("/")


def _http_client(access: Access, patience: Patience, connections: int) -> DefaultAioHttpClient:
    async def show_key(request: httpx2.Request) -> None:
        if access.key_header.lower() != BEARER.lower():
            del request.headers[BEARER]
            request.headers[access.key_header] = access.key

    return DefaultAioHttpClient(
        follow_redirects=False,
        headers={"accept-encoding": ACCEPTED},
        event_hooks={"request": [show_key], "response": [bounding(patience.max_response_mib)]},
        timeout=httpx2.Timeout(patience.silence_s, connect=patience.connect_s),
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=4.0,
        ),
    )
