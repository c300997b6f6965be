"""A child that behaves as its first argument says, and tells in its heartbeats what it has heard.

good    is ready with its first snapshot and ends when told to
dies    ends with 3 when it gets its snapshot
fails   says that the configuration is wrong, and ends
hangs   is ready, and is never heard of again, whatever it is told
babbles is ready, and writes what is no message with a later heartbeat
mute    is ready, hangs up, and stays
deaf    does not end when told to, else is good
waits   is never ready
"""

import selectors
import socket
import sys
import time

from pacsnode.processes.control import Channel, Doorbell, Failed, Heartbeat, Message, Ready, Snapshot, Stop
from pacsnode.processes.program import Arguments

BEAT_SECONDS = 0.1
FIRST = 41  # the number that the jobs give the first snapshot


class FakeChild:
    def __init__(self, behaviour: str, arguments: Arguments) -> None:
        self.behaviour = behaviour
        self.socket = socket.socket(fileno=arguments.control)
        self.channel = Channel(self.socket)
        self.is_worker = arguments.listening >= 0
        self.number = self.beats = 0
        self.heard: list[str] = []
        self.is_over = False

    def run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self.channel, selectors.EVENT_READ)
        due = time.monotonic()
        while not self.is_over and self.channel.is_open:
            if selector.select(max(0.0, due - time.monotonic())):
                for message in self.channel.receive():
                    self.follow(message)
            if time.monotonic() >= due:
                due += BEAT_SECONDS
                self.channel.send(Heartbeat(self.number, {"heard": self.heard}))
                self.beats += self.number > 0
                if self.behaviour == "babbles" and self.beats > 3:
                    self.socket.send(b"\0\0\0\x04nope")

    def follow(self, message: Message) -> None:
        self.heard.append(type(message).__name__)
        match message:
            case Snapshot():
                is_first, self.number = self.number == 0, message.number or FIRST
                if is_first:
                    self.begin()
            case Stop():
                self.is_over = self.behaviour != "deaf"

    def begin(self) -> None:
        if self.behaviour == "dies":
            sys.exit(3)
        if self.behaviour == "fails":
            self.channel.send(Failed("ConfigError", "config.toml:3: spool.path: cannot be made"))
            self.is_over = True
            return
        if self.behaviour == "waits":
            return
        self.channel.send(Ready(self.number))
        if self.is_worker:
            self.channel.send(Doorbell())
        if self.behaviour == "mute":
            self.socket.shutdown(socket.SHUT_RDWR)
        if self.behaviour in ("hangs", "mute"):
            selectors.DefaultSelector().select(60)


if __name__ == "__main__":
    FakeChild(sys.argv[1], Arguments.parsed(sys.argv[2:])).run()
