"""The rated replies that ship, in the shapes of `kith export`, to fine-tune a generator without a log of one's own:
`python tests/rated_export.py FOLDER` writes messages.jsonl.gz, votes.jsonl.gz and preferences.jsonl.gz.

The ratings are of the train split, the judgements, on 100 other dialogs, of the held-back one. A liked reply ends its
dialog in `messages`, as after `kith export messages --liked`. Pairs are of one place, at most PAIRS of each.
"""

import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from storage.corpora import RatedReply, read_ratings
from storage.dialog import Message

PAIRS = 4

SHIPPED = Path(__file__).parent.parent / "ranking" / "starter"


def records(ratings: list[RatedReply], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record with the name of its export."""
    draw = random.Random(0)
    places: dict[tuple[Message, ...], list[RatedReply]] = defaultdict(list)
    for rating in ratings:
        places[rating.messages].append(rating)
    for context, rated in places.items():
        prompt = [chat(message.role, message.text) for message in context]
        origin = {"dialog_id": rated[0].dialog_id, "source": "kith", "split": split}
        liked, disliked = ([r.reply for r in rated if r.liked is wanted] for wanted in (True, False))
        for r in rated:
            yield "votes", {"prompt": prompt, "completion": [chat("assistant", r.reply)], "label": r.liked, **origin}
        for reply in liked:
            said = [*prompt, chat("assistant", reply)]
            yield "messages", {"messages": said, "id": rated[0].dialog_id, "source": "kith", "split": split}
        pairs = list(product(liked, disliked))
        for chosen, rejected in draw.sample(pairs, min(PAIRS, len(pairs))):
            two = {"chosen": [chat("assistant", chosen)], "rejected": [chat("assistant", rejected)]}
            yield "preferences", {"prompt": prompt, **two, **origin}


def chat(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = defaultdict(list)
    for file, split in (("ratings.jsonl.gz", "train"), ("judgements.jsonl.gz", "valid")):
        for name, record in records(list(read_ratings(SHIPPED / file)), split):
            lines[name].append(json.dumps(record, ensure_ascii=False) + "\n")
    for name, written in lines.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
            out.writelines(written)
        print(f"{name}: {len(written)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
