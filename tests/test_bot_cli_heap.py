"""All threads of the program allocate from one heap, unless its owner wants otherwise."""

import os
import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from bot.cli import main

if "kith" in sys.argv:
    main(["--help"])
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(4)

def allocate():
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps for threads")
@pytest.mark.parametrize(("arguments", "environment", "one"), [
    (["kith"], {}, True),
    ([], {}, False),
    (["kith"], {"MALLOC_ARENA_MAX": "8"}, False),
    (["kith"], {"GLIBC_TUNABLES": "glibc.malloc.arena_max=8"}, False),
])  # fmt: skip
def test_threads_share_one_heap(arguments: list[str], environment: dict[str, str], one: bool) -> None:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
    } | environment
    command = [sys.executable, "-c", HEAPS, *arguments]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
    heaps = done.stdout.count("<heap nr=")
    assert heaps == 1 if one else heaps > 1


STAYS = """
import gc, weakref
from bot.cli.heap import loading_what_stays

class Node:
    pass

try:
    with loading_what_stays():
        assert not gc.isenabled()
        kept = [Node() for _ in range(10)]
        raise OSError
except OSError:
    pass
assert gc.isenabled() and gc.get_freeze_count() > 10
assert not any(isinstance(each, Node) for each in gc.get_objects())
ring = Node()
ring.itself, seen = ring, weakref.ref(ring)
del ring
gc.collect()
assert seen() is None
"""


def test_no_garbage_is_looked_for_in_what_was_loaded_but_in_what_comes_after() -> None:
    """In a program of its own: what is passed over once is so for good."""
    subprocess.run([sys.executable, "-c", STAYS], check=True)
