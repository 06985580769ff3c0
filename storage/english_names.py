"""Which words of an English text are names of people, by lists and by the words around them."""

import re
import unicodedata
from functools import cache, lru_cache

from storage.name_lists import Need, listed, strictest, sure

SYLLABLE = (
    "ae|bin|bo|chae|chan|cheng|cho|chun|da|eun|feng|guo|ha|hae|hee|ho|hua|hui|hwa|hye|hyun|jae|ji|jia|jie|jin|joo|jun|jung"
    "|kang|kyung|lan|lei|li|lin|ling|mei|mi|min|ming|na|ning|qi|qing|ran|rim|rui|seo|seok|seong|shan|si|soo|su|sun|tae|tian"
    "|ting|wei|wen|won|woo|xia|xiao|xin|xue|yan|yang|yeon|yi|ying|yong|yoo|yoon|young|yu|yuan|yue|yun|zhen|zi"
)
ASIAN = re.compile(rf"(?:{SYLLABLE})-(?:{SYLLABLE})")
"""Given names as Korean and Chinese ones are written with a hyphen: "ji-woo"."""
NO_DECOMPOSITION = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ð": "d", "æ": "ae", "œ": "oe", "ß": "ss"})
NO_POSSESSIVE = ("ies", "ss", "us", "les")
MRS = {"mr", "mrs", "ms", "mx", "dr", "prof"}
"""After these also a word that no list has is a name in small letters."""
STATES = {"is", "was", "has", "had", "does", "did", "isn't", "wasn't", "hasn't", "are", "were", "will", "would", "can"}
WHERE = {"at", "from", "to", "with"}
"""Before somebody's home: "at rob's"."""


@lru_cache(65_536)
def need(word: str) -> Need | None:
    """What a word needs to be a name; None: no list has it. A double name needs what the stricter part does."""
    word = without_accents(word.removesuffix("'s"))
    if word in _needs():
        return _needs()[word]
    if "-" in word:
        first, *others = word.split("-")
        double = ASIAN.fullmatch(word) or (
            _needs().get(first) is Need.NOTHING and all(part in _needs() for part in others)
        )
        return Need.NOTHING if double else strictest(_needs().get(part) for part in (first, *others))
    without = word.removesuffix("s")  # "annas birthday"
    short = len(word) < 5 or word.endswith(NO_POSSESSIVE) or word in listed("english", "never")
    return Need.NOTHING if without in sure() and not short else None


def without_accents(word: str) -> str:
    if word.isascii():
        return word
    folded = unicodedata.normalize("NFKD", word.translate(NO_DECOMPOSITION))
    return "".join(letter for letter in folded if not unicodedata.combining(letter))


@cache
def _needs() -> dict[str, Need]:
    needs = dict.fromkeys(sure(), Need.NOTHING)
    needs |= dict.fromkeys(listed("english", "words") | listed("english", "surnames"), Need.COMPANY)
    needs |= dict.fromkeys(listed("english", "places"), Need.CUE)
    return {word: what for word, what in needs.items() if word not in listed("english", "never")}


def is_surname(word: str) -> bool:
    """Whether a word in small letters belongs to the given name before it."""
    word = without_accents(word.removesuffix("'s"))
    return word in sure() or word in listed("english", "surnames")


def in_company(before: str, word: str, after: str, cues: set[str]) -> bool:
    """Whether a word that may be a name is one by its neighbours, whatever its letters: "grace said", "told grace"."""
    if before in listed("english", "determiner"):
        return False
    does = after in listed("english", "doing")
    if word == "will":
        return does or "person" in cues
    at_home = word.endswith("'s") and before in WHERE
    own = "relation" in cues and (does or after in STATES or after.endswith("ed"))
    at_home |= word.endswith("'s") and after in listed("english", "belonging")
    return does or own or at_home or bool(cues & {"naming", "title", "person"})


def called(before: str, word: str, after: str, cues: set[str]) -> bool:
    """Whether a word in small letters that no list has is a name."""
    if (
        word in listed("english", "never") | listed("english", "doing") | listed("english", "between") | STATES
        or len(word) < 3
    ):
        return False
    own = "relation" in cues and after in listed("english", "doing") and not word.endswith(("ly", "s", "ed", "ing"))
    return before in MRS or own
