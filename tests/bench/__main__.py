"""The benchmark: `python -m bench [--quick] [PART ...]`, with tests/ on PYTHONPATH, or `make bench`.

It writes a dated JSON file with all figures, and from it the tables of docs/performance.md and its pictures.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench.sizes import QUICK, WHOLE, Sizes
from bench.timing import Json

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "performance.md", DOCS / "performance"
PARTS = ("peers", "decode", "loads", "growth", "training")


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is there: spinning threads would be measured
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `kith` has it; the peers multiply by torch
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a look in three minutes")
    parser.add_argument(
        "--sustain", nargs="?", const=10.0, default=0.0, type=float, metavar="MINUTES",
        help="after `loads`, so long at 80 %% of the capacity (10 when no number is given)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON file and the pictures")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose tables are filled")
    parser.add_argument("--from", dest="known", type=Path, metavar="JSON", help="measure nothing: show this file's run")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)}: name some of {', '.join(PARTS)}.")
    out, page = options.out.resolve(), options.page.resolve()
    if options.known:
        run: Json = json.loads(options.known.read_text(encoding="utf-8"))
    else:
        sizes, parts = QUICK if options.quick else WHOLE, options.parts or PARTS
        run = measured(replace(sizes, sustained_minutes=options.sustain), parts, options.quick, out)
    show(run, out, page)


def measured(sizes: Sizes, parts: Sequence[str], quick: bool, out: Path) -> Json:
    """The parts one after the other, each in folders of its own, away from anybody's settings; the file is written anew
    after each."""
    from bench.machine import described, libraries
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import as_json, write_whole
    from bot.settings import Settings

    for name in [name for name in os.environ if name.startswith(("KITH_", "TELEGRAM_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        set_up_libraries(Settings())
        made = datetime.now(UTC)
        run: Json = {
            "made": made.strftime("%Y-%m-%dT%H:%M"), "command": command(parts, quick, sizes),
            "quick": quick, "sizes": sizes, "machine": described(), "versions": libraries(), "seconds": {}, "parts": {},
        }  # fmt: skip
        for name in parts:
            began, place = time.perf_counter(), Path(folder) / name
            place.mkdir()
            run["parts"][name] = import_module(f"bench.{name}").measure(sizes, place)
            run["seconds"][name] = time.perf_counter() - began
            write_whole(out / f"{made:%Y-%m-%d-%H%M}.json", json.dumps(as_json(run), indent=1) + "\n")
            print(f"{name}: {run['seconds'][name]:.0f} s", file=sys.stderr, flush=True)
        os.chdir(DOCS)
    found: Json = as_json(run)
    return found


def command(parts: Sequence[str], quick: bool, sizes: Sizes) -> str:
    """What was typed, but for where it went."""
    asked = [*(["--quick"] if quick else []), *(parts if len(parts) < len(PARTS) else [])]
    asked += [f"--sustain {sizes.sustained_minutes:g}"] if sizes.sustained_minutes else []
    return f'make bench ARGS="{" ".join(asked)}"' if asked else "make bench"


def show(run: Json, out: Path, page: Path) -> None:
    """Tables into the page, pictures into the folder."""
    from bench.plots import PLOTS
    from bench.tables import filled
    from bot.cli.drawing import as_png
    from bot.cli.run_file import write_whole

    write_whole(page, filled(page.read_text(encoding="utf-8"), run))
    for name, part in run["parts"].items():
        if name in PLOTS:
            write_whole(out / f"{name}.png", as_png(PLOTS[name](part)))


if __name__ == "__main__":
    main()
