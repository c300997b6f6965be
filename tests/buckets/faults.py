"""What may go wrong on the way to a bucket and back, for `tests.buckets.proxy` to do.

A fault gets a request and a function that does what is asked; what it returns is what the client gets.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

WAIT_SECONDS = 30.0


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass
class Given:
    """One answer as it goes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Lost(Exception):
    """The connection is reset instead of an answer."""


class Cut(Exception):
    """The answer goes out without the end of its body."""

    def __init__(self, given: Given, sent: int) -> None:
        super().__init__()
        self.given = given
        self.sent = sent


Ask = Callable[[Asked], Given]
Fault = Callable[[Asked, Ask], Given]


def answer(status: int, reason: str = "", message: str = "", **headers: str) -> Fault:
    """Answer so, and let nothing through."""

    def fault(_: Asked, __: Ask) -> Given:
        return said(status, reason, message, {name.replace("_", "-"): text for name, text in headers.items()})

    return fault


def reset_before(_: Asked, __: Ask) -> Given:
    """Reset the connection, and let nothing through."""
    raise Lost


def reset_after(asked: Asked, ask: Ask) -> Given:
    """Do what is asked, and lose the answer."""
    ask(asked)
    raise Lost


def cut(share: float) -> Fault:
    """Close the connection after a share of the answer's body."""

    def fault(asked: Asked, ask: Ask) -> Given:
        given = ask(asked)
        raise Cut(given, int(len(given.body) * share))

    return fault


def flip_sent(place: float) -> Fault:
    """Let a bit of the request's body arrive as another, at a share of its length."""

    def fault(asked: Asked, ask: Ask) -> Given:
        return ask(Asked(asked.method, asked.target, asked.headers, _flipped(asked.body, place)))

    return fault


def flip_given(place: float) -> Fault:
    """Let a bit of the answer's body arrive as another, at a share of its length."""

    def fault(asked: Asked, ask: Ask) -> Given:
        given = ask(asked)
        return Given(given.status, given.headers, _flipped(given.body, place))

    return fault


def hold(until: threading.Event) -> Fault:
    """Answer nothing until an event, or for half a minute, and let nothing through."""

    def fault(_: Asked, __: Ask) -> Given:
        until.wait(WAIT_SECONDS)
        raise Lost

    return fault


def said(status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> Given:
    """Return an error as the JSON API writes it."""
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    body = json.dumps({"error": error}).encode()
    return Given(status, {"Content-Type": "application/json", **(headers or {})}, body)


PRECONDITION_FAILED = said(
    412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
)


def _flipped(body: bytes, place: float) -> bytes:
    if not body:
        return body
    at = min(int(len(body) * place), len(body) - 1)
    return body[:at] + bytes((body[at] ^ 0x01,)) + body[at + 1 :]
