"""What a server says of its models: it informs; whether a model is there, a call decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collab.errors import ModelCallError
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.failures import quoted
from collab_backends.remote.faults import ServerBusyError, ServerUnreachableError

_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list of models says of one.

    Attributes:
        entry: The model's; empty if there is none.
        lack: Why there is none, as the reason why the server cannot be used if it does not answer;
            empty if there is one.
    """

    entry: Mapping[str, object] = field(default_factory=dict)
    lack: str = ""


async def read_listing(endpoint: Endpoint, model: str) -> Listing:
    """Return what a server lists of a model.

    Raises:
        ServerBusyError: It has no time.
        ServerUnreachableError: It is not there.
    """
    url = endpoint.base_url
    try:
        body = await endpoint.get("/models")
    except (ServerBusyError, ServerUnreachableError):
        raise
    except ModelCallError as error:
        return Listing(lack=f"{url} cannot be used: {error}")
    listed = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(listed, list):
        told = endpoint.scrubbed(quoted(body))
        return Listing(
            lack=f"{url} is not an OpenAI-compatible server; /models answers: {told}. Does the "
            "base URL end with the version path, such as /v1?"
        )
    entries = {str(one.get("id")): one for one in listed if isinstance(one, Mapping)}
    for name in (model, f"{model}:latest", f"models/{model}"):
        if name in entries:
            return Listing(entries[name])
    return Listing(lack=f"{url} has no model {model!r}; it has: {_told(sorted(entries))}")


def _told(names: list[str]) -> str:
    shown = [quoted(name) for name in names[:_MOST_LISTED]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")
