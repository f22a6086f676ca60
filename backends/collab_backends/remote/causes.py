"""Why a server cannot be reached, told by what lies beneath the client's error."""

import socket
import ssl
from collections.abc import Iterator

from collab_backends.remote.faults import Fault

_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_DEPTH = 8


def unreachable(error: BaseException) -> Fault:
    """Return the fault of a connection that could not be made, or ended before an answer.

    The client tells most of these as a timeout; what it was stands in the chain of causes.
    """
    # What lies deepest says most: the client's own classes pass for those of the system's errors.
    for cause in reversed(list(_chain(error))):
        if (fault := _of(cause)) is not None:
            return fault
    return _fault("the server cannot be connected to; is it running?")


def _of(cause: BaseException) -> Fault | None:
    # The proxy's errors are of classes that only the client's own transport imports.
    name = type(cause).__name__
    match cause:
        case ssl.SSLCertVerificationError():
            return _fault(_told_certificate(cause), is_retried=False)
        case ssl.SSLError() if cause.reason in _NO_TLS:
            return _fault(
                "the server does not speak https there; write http:// in `base_url`, or its "
                "https port",
                is_retried=False,
            )
        case ssl.SSLError():
            return _fault(f"no secure connection can be made: {cause}", is_retried=False)
        case socket.gaierror():
            what = (
                f"its name is not known ({cause.strerror}); check how the host is written in "
                "`base_url`, and the DNS of this machine"
            )
            return _fault(what, is_retried=cause.errno == socket.EAI_AGAIN)
        case _ if name in ("ClientProxyConnectionError", "ClientHttpProxyError"):
            return _fault(
                f"the proxy does not connect ({cause}); it is named by HTTP_PROXY, HTTPS_PROXY or "
                "ALL_PROXY: unset that, or add the server's host to NO_PROXY"
            )
        case _ if name in ("ServerDisconnectedError", "ClientOSError", "ConnectionResetError"):
            return _fault(
                "the server closed the connection without an answer; if it speaks https, write "
                "https:// in `base_url`",
                is_refusal=False,
            )
    return None


def _told_certificate(error: ssl.SSLCertVerificationError) -> str:
    if "mismatch" in error.verify_message:
        return (
            f"the server's certificate is for another name: {error.verify_message} Write the name "
            "that it is for in `base_url`"
        )
    return (
        f"the server's certificate is not trusted: {error.verify_message}; set SSL_CERT_FILE to a "
        "file with the certificate of whoever signed it"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_DEPTH):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _fault(what: str, *, is_retried: bool = True, is_refusal: bool = True) -> Fault:
    return Fault(
        what,
        is_retried=is_retried,
        is_outage=True,
        is_unreachable=True,
        is_refusal=is_refusal,
    )
