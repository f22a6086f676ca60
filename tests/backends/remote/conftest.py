"""Real servers, each started once for all tests that use it; skipped where it is not installed."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import launch
from servers.hostile import BEGIN_ID, write_hostile
from servers.served import Serve, Served

from collab_backends.lab import LAB_FOLDER


@pytest.fixture(scope="session")
def hostile_mentor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's mentor, with a tokenizer and a template that set traps."""
    folder = tmp_path_factory.mktemp("hostile") / "mentor"
    write_hostile(LAB_FOLDER / "mentor", folder)
    return folder


@pytest.fixture(scope="session")
def serve(hostile_mentor: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers when they are first asked for, each once."""
    running: dict[tuple[str, str], Served] = {}
    with ExitStack() as stack:

        def start(server: launch.ServerName, name: str) -> str:
            work = tmp_path_factory.mktemp(server)
            alias, lab = f"lab-{name}", LAB_FOLDER / name
            if server == "transformers":
                return stack.enter_context(launch.transformers_serve(lab, work))
            if server == "llama-cpp-python":
                return stack.enter_context(launch.llama_cpp_python(lab, alias, work))
            if server == "vllm":
                # Those who set no traps for it send it nothing but ids.
                return stack.enter_context(launch.vllm(hostile_mentor, alias, work))
            folder, begin_id = (hostile_mentor, BEGIN_ID) if name == "hostile" else (lab, None)
            serving = launch.llama_server(folder, alias, work, begin_id=begin_id)
            return stack.enter_context(serving)

        def get(server: launch.ServerName, name: str) -> Served:
            if not launch.is_installed(server):
                pytest.skip(f"{server} is not installed; `make servers`")
            if (server, name) not in running:
                running[server, name] = Served(server, name, start(server, name))
            return running[server, name]

        yield get
