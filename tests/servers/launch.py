"""Starting real servers on free ports of this machine, with models of the lab.

`make servers` installs them; a server that is not there is reported by `is_installed`.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from servers.gguf_files import write_gguf
from servers.padded_heads import write_padded

SERVERS = Path(os.environ.get("COLLAB_SERVERS", "~/.cache/collab-servers")).expanduser()

ServerName = Literal["llama-server", "vllm", "transformers", "llama-cpp-python"]

# All its threads: it holds one for each connection that is kept alive.
_LLAMA_FLAGS = "-c 8192 -np 8 -t 1 -tb 1 --threads-http 80 --metrics -ctk f32 -ctv f32 -fa off"
_VLLM_FLAGS = "--dtype float32 --enforce-eager --enable-prompt-tokens-details"
_VLLM_SETTINGS = {
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}


def is_installed(name: ServerName) -> bool:
    """Whether `make servers` has installed it."""
    return (SERVERS / name / ".installed").exists()


@contextmanager
def llama_server(
    folder: Path, alias: str, work: Path, *, begin_id: int | None = None
) -> Iterator[str]:
    """Serve a checkpoint with llama.cpp's own server; yield the base URL."""
    weights = work / f"{alias}.gguf"
    write_gguf(folder, weights, begin_id=begin_id)
    command = [str(SERVERS / "llama-server" / "llama-server"), "-m", str(weights)]
    command += ["--alias", alias, "--host", "127.0.0.1", *_LLAMA_FLAGS.split()]
    with _serving(command, "listening on") as url:
        yield url


@contextmanager
def vllm(folder: Path, alias: str, work: Path) -> Iterator[str]:
    """Serve a checkpoint with vLLM, whose model is named `alias`; yield the base URL."""
    padded = work / alias
    write_padded(folder, padded)
    command = [_python("vllm"), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(padded), "--served-model-name", alias, "--host", "127.0.0.1"]
    with _serving([*command, *_VLLM_FLAGS.split()], "startup complete", _VLLM_SETTINGS) as url:
        yield url


@contextmanager
def transformers_serve(folder: Path, work: Path) -> Iterator[str]:
    """Serve a checkpoint with `transformers serve`; the model's name is its path."""
    # Without the folder of the hub's cache, listing the models is an error there.
    (work / "hub").mkdir(parents=True)
    program = str(SERVERS / "transformers" / "bin" / "transformers")
    command = [program, "serve", str(folder), "--host", "127.0.0.1"]
    with _serving(command, "running on", {"HF_HOME": str(work)}) as url:
        yield url


@contextmanager
def llama_cpp_python(folder: Path, alias: str, work: Path) -> Iterator[str]:
    """Serve a checkpoint with llama-cpp-python's server; yield the base URL."""
    weights = work / f"{alias}.gguf"
    write_gguf(folder, weights)
    command = [_python("llama-cpp-python"), "-m", "llama_cpp.server", "--model", str(weights)]
    command += ["--model_alias", alias, "--host", "127.0.0.1", "--n_ctx", "1024"]
    libraries = {"LLAMA_CPP_LIB_PATH": str(SERVERS / "llama-server")}
    with _serving(command, "running on", libraries) as url:
        yield url


@contextmanager
def _serving(
    command: Sequence[str], ready: str, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a server until the block ends; begin when a line of its log says that it is `ready`."""
    port = _free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | dict(settings or {}),
    )
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if ready in line.lower():
            break
    else:
        raise RuntimeError(f"{command[0]} did not start:\n{''.join(said[-20:])}")
    # A full pipe would stop the server.
    drain = threading.Thread(target=process.stdout.read)
    drain.start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        drain.join()
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _python(name: ServerName) -> str:
    return str(SERVERS / name / "bin" / "python")
