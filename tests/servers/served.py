"""What tests know of a real server that was started for them."""

from collections.abc import Callable
from dataclasses import dataclass

from servers.launch import ServerName

from collab_backends.remote.backend import OpenAIServer


@dataclass(frozen=True)
class Served:
    """A model of the lab behind a real server.

    Attributes:
        server: The program.
        name: The lab's model.
        url: Its base URL.
    """

    server: ServerName
    name: str
    url: str

    def backend(self, **options: object) -> OpenAIServer:
        defaults: dict[str, object] = {
            "model": f"lab-{self.name}",
            "base_url": self.url,
            "tokenizer": f"lab/{self.name}",
            "max_connections": 32,
        }
        return OpenAIServer.model_validate(defaults | options)


Serve = Callable[[ServerName, str], Served]
