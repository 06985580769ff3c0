"""Turns for tests of the log."""

from sqlalchemy import func, select

from storage.dialog import Asked, Candidate, Decision, Scored, Turn, new_id
from storage.schema import ReceivedRow
from storage.store import SqlDialogStore

CHAT = PERSON = "telegram:42"

NOTHING: dict[str, object] = {"person": None, "chats": [], "dialogs": [], "pool": [], "received": [], "blocked": []}
"""All that is kept of a stranger."""


def turn_for(asked: Asked, *replies: str, message: str = "hi", source: str = "retrieval") -> Turn:
    """A turn that says the first of the replies and considered the others; without any it says a fallback."""
    ranked = tuple(
        Scored(
            Candidate(text, source, 0.5 - rank / 100, f"entry-{rank}"),
            {"ranker": 0.25, "repetition": 0.0},
            total=1.0 - rank,
            probability=0.75 if rank == 0 else 0.0,
            veto="repetition" if rank else "",
        )
        for rank, text in enumerate(replies)
    )
    said = Decision(replies[0], "policy", ranked, chosen=0) if replies else Decision("Hm.", "fallback")
    versions = {"ranker": "r1", "policy": "p1"}
    return Turn(new_id(), asked, message, said, versions, seconds={"retrieval": 0.01, "policy": 0.001})


def ask(store: SqlDialogStore, text: str, chat: str = CHAT, person: str = PERSON, external_id: str = "") -> Asked:
    """A message that the log takes. Who has not said whether it may be learnt from, does so now."""
    asked = store.take(chat, person, text, update_key=new_id(), external_id=external_id)
    assert asked is not None
    if store.person(person).consent is None:
        store.change_person(person, consent=True)
    return asked


def talk(store: SqlDialogStore, text: str, *replies: str, chat: str = CHAT, person: str = PERSON) -> Turn:
    """A message and its turn, both logged."""
    turn = turn_for(ask(store, text, chat, person), *replies, message=text)
    store.add_turn(turn)
    return turn


def not_done(store: SqlDialogStore) -> int:
    """How many updates were received and are not done."""
    with store.reading() as connection:
        which = ReceivedRow.body.is_not(None)
        return connection.execute(select(func.count()).select_from(ReceivedRow).where(which)).scalar_one()
