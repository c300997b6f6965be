"""A connection with TLS (PS3.15 B.9 to B.12), under the same deadlines as a plain one.

The TLS layer keeps bytes of its own: what it has decrypted is not in the socket any more, so that every wait asks it
first. It may also have to write before it can go on reading, for a change of keys; whoever waits then waits for room.
"""

import errno
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

from pacsnode.dimse.association.endings import ConnectionLost
from pacsnode.dimse.association.transport import Transport, milliseconds
from pacsnode.errors import NetworkError

_RECORD_BYTES = 16_384  # of one TLS record at most (RFC 8446 5.1)
_JOINED_BYTES = 65_536

_MAX_NAMES_SHOWN = 5

_UNKNOWN_AUTHORITY = (
    "its certificate is from an authority that is not known here (give its certificate as ca)"
)
# X509_verify_cert's results, by what an administrator can do.
_UNVERIFIED = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not known here (give it as ca)",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "its certificate is revoked",
    26: "its certificate is not for servers",
}
_GONE = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
_NAME_MISMATCHES = (62, 64)  # of a host name, of an address

_NO_TLS = "it speaks no TLS on this port"
_REFUSED = "it refuses our certificate"
_IN_WORDS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate from us (certificate and private_key)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it wants a certificate from us, or has no cipher suite in common with us",
    "TLSV1_ALERT_UNKNOWN_CA": f"{_REFUSED}: it does not know who issued it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REFUSED}: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_REFUSED}: it is revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS 1.2 or later",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.2 or later",
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
}


class NameMismatch(NetworkError):
    """The certificate is good, but for another host."""


def handshake(
    connection: socket.socket, host: str, context: ssl.SSLContext, deadline: float, *, subject: str = ""
) -> ssl.SSLSocket:
    """Return the connection with TLS, once the peer has shown who it is; it belongs to the result.

    With a `subject`, its certificate must have that name, whatever the host is called. Raises `NetworkError` in an
    administrator's words, `NameMismatch` for the certificate of another host, with the connection closed.
    """
    connection.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    name = host.partition("%")[0].removesuffix(".")  # neither the zone nor the root is in a certificate
    try:
        secured = context.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:
        connection.close()
        raise NetworkError(f"no TLS: {_in_words(error)}") from error
    try:
        _shake(secured, deadline)
        if subject and not _is_among(
            subject, found := [*_common_names(secured), *_alternative_names(secured)]
        ):
            what = f"its certificate is for {shown(found)}, not for {subject} (certificate_subject)"
            raise NetworkError(f"no TLS: {what}")
    except BaseException:
        secured.close()
        raise
    return secured


def names_of(secured: ssl.SSLSocket) -> list[str]:
    """Return the names and addresses of hosts that the peer's certificate is for."""
    return _alternative_names(secured) or _common_names(secured)


def shown(names: list[str]) -> str:
    """Return the names for a message: somebody else has written them."""
    texts = [
        "".join(char if char.isprintable() else "?" for char in name) for name in names[:_MAX_NAMES_SHOWN]
    ]
    more = [f"{len(names) - len(texts)} more"] if len(names) > len(texts) else []
    return ", ".join(texts + more) or "nobody"


def _common_names(secured: ssl.SSLSocket) -> list[str]:
    subject = (secured.getpeercert() or {}).get("subject", ())
    return [str(entry[1]) for part in subject for entry in part if entry[0] == "commonName"]


def _alternative_names(secured: ssl.SSLSocket) -> list[str]:
    entries = (secured.getpeercert() or {}).get("subjectAltName", ())
    return [str(entry[1]) for entry in entries if entry[0] in ("DNS", "IP Address")]


def _is_among(subject: str, names: list[str]) -> bool:
    """Return whether a name is one of these; upper and lower case are the same in both kinds (RFC 5280 7.1, 7.2)."""
    return subject.casefold() in (name.casefold() for name in names)


def _shake(secured: ssl.SSLSocket, deadline: float) -> None:
    while True:
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            is_ready = _wait_for(secured, select.POLLIN, deadline)
        except ssl.SSLWantWriteError:
            is_ready = _wait_for(secured, select.POLLOUT, deadline)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _NAME_MISMATCHES:
                raise NameMismatch("no TLS: its certificate is for another host") from error
            what = _UNVERIFIED.get(error.verify_code, f"its certificate is not valid: {error.verify_message}")
            raise NetworkError(f"no TLS: {what}") from error
        except (OSError, ValueError) as error:
            raise NetworkError(f"no TLS: {_in_words(error)}") from error
        else:
            return
        if not is_ready:
            raise NetworkError(
                "no TLS: it did not finish the handshake within the time limit; it may speak no TLS"
            )


def _wait_for(secured: ssl.SSLSocket, event: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(secured, event)
    return bool(poll.poll(milliseconds(deadline)))


def _in_words(error: Exception) -> str:
    is_gone = getattr(error, "errno", None) in _GONE and not isinstance(error, ssl.SSLError)
    if is_gone or isinstance(error, ssl.SSLEOFError):
        return "it ends the connection in the handshake; it may speak no TLS, or want a certificate from us"
    return _of_ssl(error) if isinstance(error, ssl.SSLError) else str(getattr(error, "strerror", "") or error)


def _of_ssl(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    return _IN_WORDS.get(reason, reason.replace("_", " ").lower() or str(error))


class SecureTransport(Transport):
    """One connection whose handshake is done, used by one thread."""

    def __init__(self, connection: ssl.SSLSocket, *, stop_descriptor: int | None = None) -> None:
        super().__init__(connection, stop_descriptor=stop_descriptor)
        self._secured = connection
        self._reading_waits_for_room = False

    def receive_now(self, view: memoryview) -> int:
        """See `Transport`."""
        self._reading_waits_for_room = False
        try:
            size = self._secured.recv_into(view)
        except (ssl.SSLWantReadError, BlockingIOError):  # the second where TLS has ended, in `finish`
            return 0
        except ssl.SSLWantWriteError:
            self._reading_waits_for_room = True
            return 0
        except (OSError, ValueError) as error:
            raise self._lost(error) from error
        if size == 0:
            raise ConnectionLost(f"connection closed by the peer{self._perhaps}")
        self.bytes_received += size
        return size

    def _send(self, parts: list[bytes | memoryview], deadline: float) -> None:
        for piece in _pieces(parts):
            rest = memoryview(piece)
            while rest:
                try:
                    sent = self._secured.send(rest)
                except ssl.SSLWantWriteError:
                    self._wait(self._writable, deadline)
                    continue
                except ssl.SSLWantReadError:  # renegotiation is switched off, and nothing else reads to write
                    super()._wait(self._readable, deadline)  # for the peer, whatever is held already
                    continue
                except (OSError, ValueError) as error:
                    raise self._lost(error) from error
                self.bytes_sent += sent
                rest = rest[sent:]

    def _wait(self, poll: select.poll, deadline: float) -> None:
        if poll is not self._writable:
            if self._secured.pending():
                return
            if self._reading_waits_for_room:
                poll = self._writable
        super()._wait(poll, deadline)

    def wait_readable(self, wake_descriptor: int, deadline: float, *, ignore_peer: bool = False) -> None:
        """See `Transport`."""
        if ignore_peer or not self._secured.pending():
            super().wait_readable(wake_descriptor, deadline, ignore_peer=ignore_peer)

    def finish(self, seconds: float) -> None:
        """See `Transport`."""
        self._say_goodbye()
        super().finish(seconds)

    def cut(self) -> None:
        """See `Transport`."""
        # SSLSocket's own would take the TLS layer away from the thread that uses it.
        with suppress(OSError):
            socket.socket.shutdown(self._secured, socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Transport`."""
        self._say_goodbye()
        super().close()

    def _lost(self, error: Exception) -> ConnectionLost:
        if isinstance(error, ssl.SSLEOFError):
            return ConnectionLost(f"connection closed by the peer{self._perhaps}")
        if isinstance(error, ssl.SSLError):
            return ConnectionLost(f"connection lost: {_of_ssl(error)}")
        return ConnectionLost(f"connection lost: {getattr(error, 'strerror', '') or error}{self._perhaps}")

    @property
    def _perhaps(self) -> str:
        """With TLS 1.3 our side of the handshake is done before the peer has judged our certificate."""
        return "" if self.bytes_received else "; it may want a certificate from us, or refuse ours"

    def _say_goodbye(self) -> None:
        """Send the close_notify that tells the end from a cut (RFC 8446 6.1), without waiting for the peer's."""
        with suppress(OSError, ValueError):  # it is gone, or was told already
            self._secured.unwrap()


def _pieces(parts: list[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of all parts in writes that fill TLS records: small ones joined, long ones as they are.

    OpenSSL makes records of each write by itself, and a header of 12 bytes is not worth one.
    """
    held: list[bytes | memoryview] = []
    size = 0
    for part in parts:
        rest = memoryview(part)
        if held and size + len(rest) > _JOINED_BYTES:
            room = max(0, _RECORD_BYTES - size)
            held.append(rest[:room])
            yield b"".join(held)
            held, size, rest = [], 0, rest[room:]
        if len(rest) > _JOINED_BYTES:
            yield rest
        else:
            held.append(rest)
            size += len(rest)
    if held:
        yield b"".join(held)
