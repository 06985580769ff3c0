"""Do the intervals hold what they promise? Worlds where the truth is known, again and again: the tables of
docs/learning.md.

    python tests/covering.py                     200 logs of 400 dialogs: off-policy evaluation (15 minutes on a core)
    python tests/covering.py --dialogs 150       smaller logs
    python tests/covering.py sequential          experiments in which nothing differs, looked at every day (5 minutes)
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from logged_world import LOGGING, TARGETS, chances, make_world, talked, truth
from looking import EXPERIMENTS, looked

from ranking.off_policy import evaluate, rewards

SHOWN = ("approval", "likes a turn", "votes a turn", "difference")


def off_policy(repeats: int, dialogs: int) -> None:
    """Prints for each target and method how often the 95 % interval held the truth, and how wide it was."""
    true = {name: truth(policy) for name, policy in TARGETS.items()}
    logged = truth(LOGGING)["approval"]
    held: dict[tuple[str, str, str], list[tuple[bool, float, float]]] = defaultdict(list)
    refused: dict[str, int] = dict.fromkeys(TARGETS, 0)
    worth: dict[str, list[float]] = {name: [] for name in TARGETS}
    for repeat in tqdm(range(repeats), disable=None):
        draw = np.random.default_rng([1, dialogs, repeat])
        world = make_world(draw, dialogs)
        log = talked(world, draw, chances(world, LOGGING))
        expected = rewards(log)
        for name, policy in TARGETS.items():
            found = evaluate(log, chances(world, policy).ravel(), name, expected)
            worth[name].append(found.effective_votes)
            refused[name] += bool(found.refused)
            for method, figures in found.figures.items():
                for figure in SHOWN:
                    at = figures[figure]
                    value = true[name]["approval"] - logged if figure == "difference" else true[name][figure]
                    held[name, method, figure].append((at.low <= value <= at.high, at.high - at.low, at.value - value))
    print(f"{repeats} logs of {dialogs} dialogs; the logging policy's approval {logged:.3f}\n")
    print("| policy | approval | votes are worth | refused | method |", *(f"{name} |" for name in SHOWN))
    print("|---|---|---|---|---|" + "---|" * len(SHOWN))
    for name in TARGETS:
        start = f"| {name} | {true[name]['approval']:.3f} | {np.mean(worth[name]):.0f} | {refused[name]} |"
        for method in dict.fromkeys(method for target, method, _ in held if target == name):
            cells = [np.array(held[name, method, figure]) for figure in SHOWN]
            print(start, method, "|", *(f"{c[:, 0].mean():.1%} ({c[:, 1].mean():.3f}) |" for c in cells))
        if refused[name] == repeats:
            print(start, "| |" + " |" * len(SHOWN))


def sequential(repeats: int) -> None:
    """Prints how often an experiment said that its variants differ, where they do not and where they do."""
    print("| experiment | nothing differs | one look a day at a 95 % interval | 8 points better: told | after days |")
    print("|---|---|---|---|---|")
    for name, kind in EXPERIMENTS.items():
        null = [looked(kind, 0.0, [2, seed]) for seed in tqdm(range(repeats), disable=None)]
        gain = [looked(kind, 0.08, [3, seed]) for seed in tqdm(range(repeats), disable=None)]
        told = [day for day, _ in gain if day]
        days = f"{np.median(told):.0f}" if told else ""
        wrong, naive = (np.mean([bool(day[place]) for day in null]) for place in (0, 1))
        print(f"| {name} | {wrong:.1%} | {naive:.1%} | {len(told) / repeats:.0%} | {days} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["off-policy", "sequential"], default="off-policy")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--dialogs", type=int, default=400)
    given = parser.parse_args()
    if given.what == "sequential":
        sequential(given.repeats)
    else:
        off_policy(given.repeats, given.dialogs)
