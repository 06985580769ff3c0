"""A port of loopback for a server of a test that wants to be told one."""

import socket
from contextlib import closing
from random import SystemRandom

PORTS = range(20_000, 30_000)
"""None of those that the kernel gives to who asks for any (from 32,768 on Linux, from 49,152 elsewhere): such a one was
taken by the next server of the same test before its own could listen on it."""


def free_port() -> int:
    """One that nobody listens on, and that nobody gets who does not name it."""
    while True:
        port = SystemRandom().choice(PORTS)  # three processes run tests, each with the same seeds
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
