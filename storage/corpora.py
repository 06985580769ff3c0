"""Dialogs and rated replies from files, so that public sets and Kith's own exports reach training by one road.

Three kinds of JSON lines (plain or .gz) are read; a folder means every such file in it. Our own TOML files are dialogs
too: those of the generator's voice, and of the curated pool each reply after two of its situation's contexts. A record
may have a "weight": how many records it counts as, 1 without it.

Dialogs       {"turns": [{"role": "a" | "b", "text"}], "split", "source", "license", "lang",
               "persona": [facts of a, facts of b]}
              {"messages": [{"role": "system" | "user" | "assistant", "content"}]}           `kith export messages`
Rated replies {"context": [{"role": "user" | "bot", "text"}], "reply", "label": 0 | 1, "dialog_id", "source",
               "weight", "person", "at": "2026-12-31T18:00:00Z", "turn": its number among the dialog's messages}
              {"prompt": [{"role", "content"}], "completion": [{"role", "content"}], "label"}  `kith export votes`
Preferences   {"prompt": [...], "chosen": [{"role", "content"}], "rejected": [...]}      `kith export preferences`
"""

import math
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.decided import Decided, decided_turns
from storage.dialog import Message, Role
from storage.lines import LineError, json_lines

VALID_SHARE = 0.05
"""Share of dialogs held back where a file names no split: chosen by a hash of the id, so the same ones each time."""

RATED_SHARE = 0.15
"""The same of dialogs with rated replies, which are fewer."""

ENDINGS = (".jsonl", ".jsonl.gz", ".toml")

ROLES: dict[str, Role] = {"a": "user", "b": "assistant", "user": "user", "bot": "assistant", "assistant": "assistant"}


class CorpusError(ValueError):
    """A file that cannot be read as dialogs or rated replies; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class CorpusDialog:
    """A dialog of two sides; who spoke first is the user."""

    id: str
    source: str
    split: str
    messages: tuple[Message, ...]
    personas: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Facts about the user, facts about the assistant."""
    license: str = ""
    lang: str = ""
    persona: str = ""
    """The name of the assistant's persona, where its facts are kept elsewhere."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class RatedReply:
    """A reply that somebody liked or did not."""

    dialog_id: str
    source: str
    split: str
    messages: tuple[Message, ...]
    reply: str
    liked: bool
    weight: float = 1.0
    """What it counts in training against a rating of a public source."""
    person: str = ""
    """Who rated it; "" where the source does not tell."""
    at: datetime | None = None
    """When; None where the source does not tell."""
    turn: int = -1
    """The reply's number among the messages of its dialog; -1 where the source does not tell."""
    implicit: bool = False
    """Whether nobody rated it, and what the person did next tells (storage/signals.py)."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to the same context of which somebody liked one better."""

    dialog_id: str
    source: str
    split: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LoggedVote:
    """A vote on a reply of ours, with the features that it had when it was chosen."""

    dialog_id: str
    features: Mapping[str, float]
    liked: bool
    weight: float = 1.0
    implicit: bool = False


def read_dialogs(path: Path, share: float = VALID_SHARE) -> Iterator[CorpusDialog]:
    """The dialogs of a file or folder; `share` of them is held back where it names no split. Raises CorpusError on a
    file that is missing or has another shape."""
    for file, number, record in _records(path):
        if file.suffix == ".toml":
            yield from _of_table(record, file, number)
            continue
        try:
            yield _dialog(record, file, number, share)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            need = "a dialog needs `turns` or `messages` (`kith export messages` writes such)"
            raise _shape_error(file, number, record, need) from error


def read_ratings(path: Path) -> Iterator[RatedReply]:
    """The rated replies of a file or folder; files of whole-dialog scores in a folder are passed over."""
    for file, number, record in _records(path):
        if "label" not in record and "dialog_score" in record:
            continue
        try:
            yield _rating(record, file, number)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            need = "a rated reply needs `context`, `reply`, `label` (or what `kith export votes` writes)"
            raise _shape_error(file, number, record, need) from error


def read_preferences(path: Path) -> Iterator[Preference]:
    """The preferences of a file or folder. Raises CorpusError."""
    for file, number, record in _records(path):
        try:
            yield _preference(record, file, number)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            need = "a preference needs `prompt`, `chosen`, `rejected` (`kith export preferences` writes such)"
            raise _shape_error(file, number, record, need) from error


def read_votes(path: Path) -> Iterator[LoggedVote]:
    """The votes in a `kith export dialogs` file, with the features of what was chosen; what was moderated has none, and
    its votes teach nothing. Raises CorpusError."""
    for file, number, record in _records(path):
        try:
            for turn in (turn for message in record["messages"] for turn in message["turns"]):
                chosen = [_numbers(c["features"]) for c in turn["candidates"] if c["chosen"] and c["features"]]
                for vote in turn["votes"] if chosen else ():
                    if vote["value"] != 0:
                        yield LoggedVote(record["id"], chosen[0], vote["value"] > 0)
        except (KeyError, TypeError, AttributeError) as error:
            raise _shape_error(file, number, record, "a line of `kith export dialogs` is needed") from error


def read_decided(path: Path) -> Iterator[Decided]:
    """The turns in a `kith export dialogs` file on which a policy decided. Raises CorpusError."""
    for file, number, record in _records(path):
        try:
            yield from decided_turns(record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _shape_error(file, number, record, "a line of `kith export dialogs` is needed") from error


def held_back(dialog_id: str, share: float = VALID_SHARE) -> bool:
    """Whether a dialog belongs to the held-back part: by a hash of its id, the same on every machine."""
    return zlib.crc32(dialog_id.encode()) % 10_000 < share * 10_000


def _records(path: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    if not path.exists():
        raise CorpusError(f"{path} does not exist: name a .jsonl or .jsonl.gz file, or a folder of them.")
    files = sorted(f for f in path.iterdir() if f.name.endswith(ENDINGS)) if path.is_dir() else [path]
    if not files:
        raise CorpusError(f"{path} holds no file that ends in {', '.join(ENDINGS)}.")
    for file in files:
        if file.suffix == ".toml":
            yield from _situations(file)
            continue
        try:
            for number, record in json_lines(file):
                if not isinstance(record, dict):
                    raise CorpusError(f"{file}, line {number}: a JSON object is needed on each line.")
                yield file, number, record
        except LineError as error:
            raise CorpusError(str(error)) from error


def _numbers(features: dict[str, float | None]) -> dict[str, float]:
    """Features without those that were not finite, which an export shows as null."""
    return {name: value for name, value in features.items() if value is not None}


def _situations(file: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """The tables of a file of ours, a situation of the pool or a dialog each."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        if "dialog" in tables:
            shared = {"valid": tables["valid"]}
            kept: tuple[str, ...] = ("situation", "persona", "turns")
        else:
            shared, kept = {}, ("name", "contexts", "replies")
        rows = tables["dialog" if "dialog" in tables else "situation"]
        yield from ((file, number, {key: row[key] for key in kept} | shared) for number, row in enumerate(rows, 1))
    except (ValueError, RecursionError, KeyError, TypeError, OSError) as error:
        raise CorpusError(f"{file} cannot be read as a file of dialogs or of the pool ({error}).") from error


def _of_table(record: dict[str, Any], file: Path, number: int) -> list[CorpusDialog]:
    """The dialogs of a table, which is the `number`th of its file."""
    try:
        return list(_situation(record)) if "replies" in record else [_voice(record, number)]
    except TypeError as error:
        raise CorpusError(f"{file}, table {number}: names must be texts, all else lists of texts ({error}).") from error


def _voice(record: dict[str, Any], number: int) -> CorpusDialog:
    """A dialog written for Kith; the person speaks first."""
    situation = _text(record["situation"])
    split = "valid" if situation in _texts(record["valid"]) else "train"
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = tuple(Message(roles[place % 2], text) for place, text in enumerate(_texts(record["turns"])))
    return CorpusDialog(f"{situation}/{number}", "voice", split, messages, lang="en", persona=_text(record["persona"]))


def _situation(record: dict[str, Any]) -> Iterator[CorpusDialog]:
    name, contexts, replies = _text(record["name"]), _texts(record["contexts"]), _texts(record["replies"])
    split = "valid" if held_back(name) else "train"
    for number, reply in enumerate(replies if contexts else ()):
        for place in {number % len(contexts), (number + 3) % len(contexts)}:
            messages = Message("user", contexts[place]), Message("assistant", reply)
            yield CorpusDialog(f"{name}/{number}/{place}", "curated", split, messages, lang="en")


def _dialog(record: dict[str, Any], file: Path, number: int, share: float) -> CorpusDialog:
    dialog_id = str(record.get("id", f"{file.name}:{number}"))
    facts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    if "turns" in record:
        messages = tuple(Message(ROLES[t["role"]], _text(t["text"])) for t in record["turns"])
        if record.get("persona"):
            facts = tuple(record["persona"][0]), tuple(record["persona"][1])
    else:
        system = " ".join(m["content"] for m in record["messages"] if m["role"] == "system")
        facts = (), (system,) if system else ()
        messages = tuple(
            Message(ROLES[m["role"]], _text(m["content"])) for m in record["messages"] if m["role"] != "system"
        )
    split = _text(record.get("split") or ("valid" if held_back(dialog_id, share) else "train"))
    source = str(record.get("source", file.name.split(".")[0]))
    return CorpusDialog(
        dialog_id,
        source,
        split,
        messages,
        facts,
        str(record.get("license", "")),
        str(record.get("lang", "")),
        weight=_weight(record),
    )


def _rating(record: dict[str, Any], file: Path, number: int) -> RatedReply:
    if "prompt" in record:
        messages, reply = _prompt(record), record["completion"][0]["content"]
    else:
        messages = tuple(Message(ROLES[m["role"]], _text(m["text"])) for m in record["context"])
        reply = record["reply"]
    person, at, turn = (record.get(key) for key in ("person", "at", "turn"))
    return RatedReply(
        *_place(record, file, number),
        messages,
        _text(reply),
        _label(record["label"]),
        _weight(record),
        "" if person is None else str(person),
        None if at is None else _time(at),
        -1 if turn is None else int(turn),
    )


def _preference(record: dict[str, Any], file: Path, number: int) -> Preference:
    chosen, rejected = (_text(record[key][0]["content"]) for key in ("chosen", "rejected"))
    return Preference(*_place(record, file, number), _prompt(record), chosen, rejected, _weight(record))


def _place(record: dict[str, Any], file: Path, number: int) -> tuple[str, str, str]:
    """Dialog, source and split of what was said about a reply."""
    dialog_id = str(record.get("dialog_id", f"{file.name}:{number}"))
    split = _text(record.get("split") or ("valid" if held_back(dialog_id, RATED_SHARE) else "train"))
    return dialog_id, str(record.get("source", file.name.split(".")[0])), split


def _prompt(record: dict[str, Any]) -> tuple[Message, ...]:
    spoken = [m for m in record["prompt"] if m["role"] != "system"]
    return tuple(Message(ROLES[m["role"]], _text(m["content"])) for m in spoken)


def _weight(record: dict[str, Any]) -> float:
    value = record.get("weight")
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise TypeError(f"{value!r} is no weight")
    return float(value)


def _label(value: Any) -> bool:
    """A text would count as a like, "0" as well."""
    if value not in (0, 1):
        raise TypeError(f"{value!r} is neither 0 nor 1")
    return bool(value)


def _time(value: Any) -> datetime:
    """ISO 8601; without a zone it is taken for UTC."""
    try:
        time = datetime.fromisoformat(_text(value))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"{value!r} is no time") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return [_text(text) for text in value]


def _shape_error(file: Path, number: int, record: dict[str, Any], need: str) -> CorpusError:
    return CorpusError(f"{file}, line {number}: {need}; it has {', '.join(sorted(record)) or 'nothing'}.")
