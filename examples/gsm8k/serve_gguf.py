"""Serve two GGUF files with llama.cpp's server, and write the pair file that names them.

    python examples/gsm8k/serve_gguf.py small.gguf large.gguf --pair pair.yaml

Runs until it is interrupted. llama-server has to be installed; tokenizers are written beside the
pair file, so that texts are sent as token ids (needs the packages transformers and gguf).
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from transformers import AutoTokenizer

FLAGS = ("--host", "127.0.0.1", "--metrics", "-sps", "0")
"""No slot takes over another text's cache by mere similarity: -sps 0."""

READY_S = 600


def main() -> int:
    """Serve both models until interrupted."""
    arguments = _parse_arguments()
    program = shutil.which(arguments.server)
    if program is None:
        print(
            f"there is no {arguments.server!r}; install llama.cpp or name it with --server",
            file=sys.stderr,
        )
        return 2
    pair: dict[str, dict[str, str]] = {}
    with ExitStack() as stack:
        for role in ("generator", "mentor"):
            weights: Path = getattr(arguments, role)
            command = [program, "-m", str(weights), "--alias", weights.stem, *FLAGS]
            command += ["-np", str(arguments.parallel)]
            command += ["-c", str(arguments.parallel * arguments.context)]
            command += ["-t", str(arguments.threads)]
            url = stack.enter_context(_serving(command, weights))
            tokenizer = arguments.pair.parent / f"{weights.stem}-tokenizer"
            if not tokenizer.exists():
                print(f"reading the tokenizer of {weights}", flush=True)
                AutoTokenizer.from_pretrained(
                    weights.parent, gguf_file=weights.name
                ).save_pretrained(tokenizer)
            pair[role] = {
                "use": "openai",
                "model": weights.stem,
                "base_url": url,
                "tokenizer": str(tokenizer),
            }
        arguments.pair.write_text(yaml.safe_dump(pair, sort_keys=False))
        print(f"serving; {arguments.pair} names both. Ctrl-C ends it.", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


@contextmanager
def _serving(command: list[str], weights: Path) -> Iterator[str]:
    """Run a server while the block lasts; yield its base URL once it is ready."""
    port = _free_port()
    log = open(f"{weights.stem}-server.log", "w")  # noqa: SIM115  # the server's own for its life
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        for _ in range(READY_S):
            if process.poll() is not None:
                raise SystemExit(f"the server of {weights} ended; see {log.name}")
            if _is_ready(port):
                break
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        log.close()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
            return True
    except urllib.error.URLError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generator", type=Path, help="GGUF file of the model that writes")
    parser.add_argument("mentor", type=Path, help="GGUF file of its mentor")
    parser.add_argument("--pair", type=Path, default=Path("pair.yaml"), help="pair file to write")
    parser.add_argument("--server", default="llama-server", help="the program, or its path")
    parser.add_argument("--parallel", type=int, default=8, help="texts in work at a time")
    parser.add_argument("--context", type=int, default=2048, help="longest text, in tokens")
    parser.add_argument("--threads", type=int, default=1, help="threads of each server")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
