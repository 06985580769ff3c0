"""How the pool's index grows: `python tests/bench/index.py [--sizes 10000 100000 1000000]`.

Each reply has a message of its own that it answers. Vectors are made of the shipped pool's, so that they lie as texts
do: one of them, a part of another, some noise; messages that are asked are contexts of the pool with more noise. The
models that map vectors are the shipped ones. Exact search and inverted lists serve the same messages in one process.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from ranking import pool_index
from ranking.encoders import SHIPPED_VECTORS, load_encoder
from ranking.inverted import load_lists
from ranking.nearest import Approximate
from ranking.pool_index import Index, build_index
from ranking.retriever import Retriever
from ranking.vector_files import digest, digests_of, load, write
from ranking.vectors import Encoder, Vectors, unit
from storage.dialog import Context, Message, PoolEntry

T = TypeVar("T")
PART = 50_000
ASKED, REPEATED, FOUND = 200, 40, 10
NEW, GONE = 1000, 100


def drawn(base: Vectors, count: int, draw: np.random.Generator) -> Vectors:
    """Vectors that lie as those of texts do, shape (count, width)."""
    one, other = draw.integers(0, len(base), (2, count))
    noise = unit(draw.normal(size=(count, base.shape[1])).astype(np.float32))
    return unit(base[one] + 0.6 * base[other] + 0.35 * noise)


def entry(number: int) -> PoolEntry:
    return PoolEntry(f"imported/{number}", f"reply {number}", (f"message {number}",), "imported")


def encoder_for(count: int, folder: Path) -> Encoder:
    """The shipped encoder, which knows the texts of that many entries by a file, and the messages that are asked."""
    encoder, draw = load_encoder(), np.random.default_rng(0)
    base = next(iter(encoder.known.files.values())).vectors.astype(np.float32)
    texts = [text for number in range(count) for text in (f"reply {number}", f"message {number}")]
    vectors = np.empty((len(texts), encoder.width), np.float16)
    for start in range(0, len(texts), PART):
        vectors[start : start + PART] = drawn(base, len(texts[start : start + PART]), draw)
    write(folder / "pool.safetensors", [digest(text) for text in texts], vectors, encoder.version)
    asked = draw.integers(0, count - NEW, ASKED)
    near = unit(vectors[2 * asked + 1] + 0.7 * drawn(base, ASKED, draw))
    encoder.recent.add({digest(f"asked {number}"): vector for number, vector in enumerate(near.astype(np.float16))})
    mapped = load(folder / "pool.safetensors", encoder.version)
    assert mapped is not None
    encoder.known.files[folder / "pool.safetensors"] = mapped
    return encoder


def timed(what: Callable[..., T], *given: object) -> tuple[T, float]:
    """What it returns, and the seconds that it took."""
    begun = time.perf_counter()
    found = what(*given)
    return found, time.perf_counter() - begun


def memory() -> float:
    """MiB of this process alone, without the files that it maps."""
    found: float = psutil.Process().memory_full_info().uss / 2**20
    return found


def query(retriever: Retriever, asked: Sequence[Context], together: int) -> str:
    """Median milliseconds of a batch, and the middle half of them."""
    batches = [[asked[(n * together + k) % ASKED] for k in range(together)] for n in range(REPEATED)]
    seconds = [1000 * timed(retriever.propose, batch)[1] for batch in batches]
    low, middle, high = np.percentile(seconds, (25, 50, 75))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def measure(count: int, folder: Path) -> None:
    """Prints a row for exact search and one for inverted lists."""
    encoder = encoder_for(count, folder)
    pool = [entry(number) for number in range(count - NEW)]
    asked = [Context((Message("user", f"asked {number}"),)) for number in range(ASKED)]
    found: dict[str, list[set[str]]] = {}
    for name, limit in (("exact", 10**9), ("inverted lists", 1)):
        pool_index.APPROXIMATE_FROM = limit
        before = memory()
        retriever, build = timed(Retriever, pool, encoder, FOUND, -1.0)
        used = memory() - before
        queries = [query(retriever, asked, together) for together in (1, 16)]
        found[name] = [{c.origin for c in row} for row in retriever.propose(asked)]
        recall = np.mean([len(a & b) / FOUND for a, b in zip(found[name], found["exact"], strict=True)])
        grown = [*pool[GONE:], *(entry(number) for number in range(count - NEW, count))]
        lists = {name: each.lists for name, each in retriever.index.approximate().items()}
        change = ["-", "-"]
        if isinstance(contexts := retriever.index.contexts, Approximate):
            new = digests_of(e.contexts[0] for e in grown[-NEW:])
            added = timed(contexts.lists.add, new, contexts.look_up)[1]
        index, rebuild = timed(build_index, grown, encoder, lists)
        _, swap = timed(setattr, retriever, "index", index)
        if isinstance(index.contexts, Approximate):
            removed = timed(index.contexts.settle)[1]
            change = [f"{1000 * added:.0f} ms", f"{1000 * removed:.0f} ms"]
        cells = [f"{count:,}", name, f"{build:.1f} s", f"{used:,.0f}", *queries, f"{recall:.3f}", *change]
        print("|", " | ".join([*cells, f"{rebuild:.1f} s + {1e6 * swap:.0f} µs"]), "|", flush=True)
    keep_and_load(index, folder, count)


def keep_and_load(index: Index, folder: Path, count: int) -> None:
    """Prints what the lists' file costs."""
    assert isinstance(index.contexts, Approximate)
    lists, file = index.contexts.lists, folder / "pool.lists"
    _, saved = timed(lists.save, file)
    _, loaded = timed(load_lists, file)
    size = file.stat().st_size / 2**20
    print(
        f"{count:,}: the lists' file has {size:.0f} MiB, saved in {saved:.1f} s, loaded in {loaded:.1f} s", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    assert SHIPPED_VECTORS.exists()
    heads = ["replies", "search", "build", "MiB", "1 context, ms", "16 contexts, ms", "recall@10", "add 1,000",
             "remove 100", "rebuild + swap"]  # fmt: skip
    print("|", " | ".join(heads), "|")
    print("|---:|---|" + "---:|" * (len(heads) - 2))
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(size, Path(folder))


if __name__ == "__main__":
    main()
