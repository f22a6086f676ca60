"""Why a server cannot be reached, and what to do: told by name, not as a timeout."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.servers import IMPATIENT, listening

from collab.errors import ModelLoadError
from collab_backends.remote.backend import OpenAIServer

ANSWER = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of our own for `localhost`, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "own.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "own.pem", folder / "key.pem"


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with status 400."""

    def do_GET(self) -> None:
        self.send_response(400)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not trust it."""


@contextmanager
def listening_securely(certificate: tuple[Path, Path]) -> Iterator[int]:
    own, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    with QuietServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


async def told(base_url: str) -> str:
    with pytest.raises(ModelLoadError) as raised:
        async with OpenAIServer(model="m", base_url=(base_url,), patience=IMPATIENT).connect():
            pass
    return str(raised.value)


async def test_a_server_that_is_not_there_may_not_be_running() -> None:
    assert "127.0.0.1:9: the server cannot be connected to; is it running?" in await told(
        "http://127.0.0.1:9/v1"
    )


async def test_a_name_that_no_one_knows_is_told() -> None:
    shown = await told("http://no-such-host.invalid/v1")

    assert "its name is not known" in shown
    assert "check how the host is written in `base_url`" in shown


async def test_https_to_a_server_of_http_is_told() -> None:
    async with listening(ANSWER) as port:
        shown = await told(f"https://127.0.0.1:{port}/v1")

    assert "does not speak https there; write http:// in `base_url`" in shown


async def test_http_to_a_server_of_https_is_told(certificate: tuple[Path, Path]) -> None:
    with listening_securely(certificate) as port:
        shown = await told(f"http://127.0.0.1:{port}/v1")

    assert "if it speaks https, write https:// in `base_url`" in shown


async def test_a_certificate_of_ones_own_is_told_with_the_way_to_trust_it(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening_securely(certificate) as port:
        shown = await told(f"https://localhost:{port}/v1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        trusted = await told(f"https://localhost:{port}/v1")

    assert "certificate is not trusted: self-signed certificate; set SSL_CERT_FILE to" in shown
    assert "status 400" in trusted


async def test_a_certificate_for_another_name_is_told(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with listening_securely(certificate) as port:
        shown = await told(f"https://127.0.0.1:{port}/v1")

    assert "the server's certificate is for another name" in shown
    assert "Write the name that it is for in `base_url`" in shown


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_that_is_gone_is_told_with_the_way_around_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening(ANSWER) as port:
        shown = await told(f"http://127.0.0.1:{port}/v1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        around = await told(f"http://127.0.0.1:{port}/v1")

    assert "the proxy does not connect" in shown
    assert "add the server's host to NO_PROXY" in shown
    assert "status 400" in around
