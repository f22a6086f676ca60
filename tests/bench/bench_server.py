"""Running the canned server of the benchmarks in a process of its own."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio


@asynccontextmanager
async def canned(delay_s: float) -> AsyncIterator[str]:
    """Serve the same answer to everything, each after `delay_s`; yield the base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = Path(__file__).with_name("remote_server.py")
    command = [sys.executable, str(script), str(port), str(delay_s)]
    process = await anyio.open_process(command, stdout=None, stderr=None)
    try:
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    break
            except OSError:
                await anyio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        await process.wait()
