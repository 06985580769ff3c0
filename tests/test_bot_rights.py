"""Tests of bot/rights.py and bot/admin.py over a real log: who may talk, how much, and what admins can do."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fixed_answers import FixedAnswers, conversation_with, empty_log
from turn_values import CHAT, NOTHING, PERSON, talk

from bot import rights
from bot.admin import ADMIN
from bot.commands import choose, run_command
from bot.conversation import Conversation, Refused
from bot.rights import Rights, Rules, full_id
from bot.texts import load_texts
from storage.dialog import Person, new_id, now
from storage.store import SqlDialogStore

ADMINS = frozenset({"telegram:1"})
GROUP, OTHER = "telegram:-100", "telegram:99"
TEXTS = load_texts()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


def ruled(
    store: SqlDialogStore, *, blocked: str = "", allowed: str = "", a_minute: int = 0, a_day: int = 0
) -> Conversation:
    """A conversation under rules; the lists are of ids with spaces between them."""
    conversation = conversation_with(FixedAnswers(store))
    rules = Rules(frozenset(allowed.split()), frozenset(blocked.split()), ADMINS, a_minute, a_day)
    conversation.rights = Rights(store, TEXTS, rules)
    return conversation


async def refusal(conversation: Conversation, chat: str = CHAT, person: str = PERSON, language: str = "en") -> str:
    """What somebody who writes is told instead of a reply."""
    with pytest.raises(Refused) as refused:
        await conversation.hear(chat, person, "hi", new_id(), language=language)
    return str(refused.value)


async def says(conversation: Conversation, chat: str = CHAT, person: str = PERSON, key: str = "") -> str | None:
    turn = await conversation.hear(chat, person, "hi", key or new_id())
    return turn.decision.reply if turn else None


# Lists


@pytest.mark.parametrize(
    ("chat", "person", "blocked"),
    [(CHAT, PERSON, PERSON), (GROUP, PERSON, PERSON), (GROUP, PERSON, GROUP), (f"{GROUP}:7", PERSON, GROUP)],
)
async def test_who_is_blocked_gets_nothing_and_leaves_nothing(
    store: SqlDialogStore, chat: str, person: str, blocked: str
) -> None:
    conversation = ruled(store, blocked=blocked)
    assert [await refusal(conversation, chat, person) for _ in range(2)] == ["", ""]
    for name in ("start", "help", "new", "persona", "forget", "privacy"):
        with pytest.raises(Refused, match=r"^$"):
            await run_command(conversation, name, chat, Person(person))
    with pytest.raises(Refused, match=r"^$"):
        await choose(conversation, "persona", chat, Person(person), "wit")
    with pytest.raises(Refused, match=r"^$"):
        await conversation.may_retry(chat, Person(person))
    assert store.personal_data(person) == NOTHING
    assert store.persona(chat) == ""


async def test_who_was_blocked_since_can_no_longer_vote_or_export(store: SqlDialogStore) -> None:
    turn, conversation = talk(store, "hi", "hello"), ruled(store, blocked=PERSON)
    with pytest.raises(Refused, match=r"^$"):
        await conversation.vote(turn.id, CHAT, Person(PERSON), 1, "button")
    with pytest.raises(Refused, match=r"^$"):
        await conversation.export(Person(PERSON))
    assert store.vote_of(turn.id, PERSON) is None


async def test_others_in_a_group_talk_on_when_one_is_blocked(store: SqlDialogStore) -> None:
    conversation = ruled(store, blocked=PERSON)
    assert await says(conversation, GROUP, OTHER) == "You said: hi"


async def test_who_is_on_no_allow_list_is_told_once_in_their_language_and_leaves_nothing(store: SqlDialogStore) -> None:
    conversation = ruled(store, allowed=OTHER)
    assert await refusal(conversation, language="ru-RU") == TEXTS.say("ru", "not_allowed", number=PERSON.split(":")[1])
    assert await refusal(conversation) == ""
    assert store.personal_data(PERSON) == NOTHING
    assert await says(conversation, OTHER, OTHER) == "You said: hi"


@pytest.mark.parametrize(
    ("chat", "person"), [(GROUP, PERSON), (f"{GROUP}:7", PERSON), ("telegram:1", "telegram:1"), ("console:me",) * 2]
)
async def test_an_allow_list_lets_in_its_groups_admins_and_the_terminal(
    store: SqlDialogStore, chat: str, person: str
) -> None:
    assert await says(ruled(store, allowed=GROUP), chat, person) == "You said: hi"


async def test_a_block_counts_more_than_an_allow_list(store: SqlDialogStore) -> None:
    assert await refusal(ruled(store, allowed=f"{GROUP} {PERSON}", blocked=PERSON), GROUP) == ""


async def test_of_many_strangers_few_are_remembered(store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "TOLD_AT_MOST", 2)
    conversation = ruled(store, allowed=OTHER)
    for number in (5, 6, 7):
        assert await refusal(conversation, f"telegram:{number}", f"telegram:{number}")
    assert await refusal(conversation, "telegram:7", "telegram:7") == ""
    assert await refusal(conversation, "telegram:5", "telegram:5") != ""


# Quotas


async def test_over_the_quota_of_a_minute_is_told_once_and_not_logged(store: SqlDialogStore) -> None:
    conversation = ruled(store, a_minute=2)
    assert [await says(conversation) for _ in range(2)] == ["You said: hi"] * 2
    assert await refusal(conversation) == TEXTS.say("en", "quota_minute")
    assert await refusal(conversation) == ""
    assert [dialog.messages for dialog in store.dialogs()] == [2]
    assert await says(conversation, OTHER, OTHER) == "You said: hi"  # nobody else has to wait


async def test_a_quota_comes_back_with_time_and_is_told_anew(store: SqlDialogStore) -> None:
    at, conversation = now(), ruled(store)
    conversation.rights = Rights(store, TEXTS, Rules(a_minute=1, a_day=3), clock=lambda: at)
    await says(conversation)
    assert await refusal(conversation) == TEXTS.say("en", "quota_minute")
    at += timedelta(minutes=2)
    await says(conversation)
    await says(conversation)
    assert await refusal(conversation) == TEXTS.say("en", "quota_day")
    at += timedelta(minutes=2)
    assert await refusal(conversation) == ""
    at += timedelta(days=1)
    assert await says(conversation) == "You said: hi"


async def test_a_restart_gives_nobody_more(store: SqlDialogStore) -> None:
    await says(ruled(store, a_day=1))
    assert await refusal(ruled(store, a_day=1)) == TEXTS.say("en", "quota_day")


async def test_a_quota_counts_all_chats_of_a_person(store: SqlDialogStore) -> None:
    conversation = ruled(store, a_day=1)
    await says(conversation)
    assert await refusal(conversation, GROUP) == TEXTS.say("en", "quota_day")


async def test_an_update_that_comes_again_is_no_message_too_many(store: SqlDialogStore) -> None:
    conversation = ruled(store, a_minute=1)
    await says(conversation, key="telegram:5")
    assert await says(conversation, key="telegram:5") is None
    assert await refusal(conversation) == TEXTS.say("en", "quota_minute")  # which nobody was told before


async def test_a_reply_that_is_asked_for_again_counts(store: SqlDialogStore) -> None:
    conversation = ruled(store, a_minute=3)
    await says(conversation)
    me = await conversation.person(PERSON)
    for _ in range(2):
        await conversation.retry(CHAT, me)
    with pytest.raises(Refused, match="That's a lot at once"):
        await conversation.may_retry(CHAT, me)
    assert await refusal(conversation) == ""


async def test_of_an_old_message_too(store: SqlDialogStore) -> None:
    await says(ruled(store))
    conversation = ruled(store)
    later = now() + timedelta(hours=1)
    conversation.rights = Rights(store, TEXTS, Rules(a_day=2), clock=lambda: later)
    me = await conversation.person(PERSON)
    await conversation.retry(CHAT, me)
    with pytest.raises(Refused, match="We've talked a lot"):
        await conversation.retry(CHAT, me)


async def test_votes_and_rights_over_ones_data_have_no_quota(store: SqlDialogStore) -> None:
    conversation = ruled(store, a_minute=1)
    turn = await conversation.hear(CHAT, PERSON, "hi", new_id())
    assert turn and await refusal(conversation)
    me = await conversation.person(PERSON)
    assert (await conversation.vote(turn.id, CHAT, me, 1, "button")).value == 1
    assert await run_command(conversation, "privacy", CHAT, me)
    assert (await conversation.export(me))["dialogs"]
    assert await choose(conversation, "forget", CHAT, me, "yes") == TEXTS.say("en", "forget_done")


@pytest.mark.parametrize("person", ["telegram:1", "console:me"])
async def test_admins_and_the_terminal_have_none(store: SqlDialogStore, person: str) -> None:
    conversation = ruled(store, a_minute=1, a_day=1)
    assert [await says(conversation, person, person) for _ in range(3)] == ["You said: hi"] * 3


# Admins


async def as_admin(conversation: Conversation, name: str, argument: str = "") -> str:
    shown = await run_command(conversation, name, "telegram:1", Person("telegram:1"), argument)
    assert isinstance(shown, str)
    return shown


@pytest.mark.parametrize("name", ADMIN)
@pytest.mark.parametrize(("chat", "person"), [(CHAT, PERSON), (GROUP, PERSON), (GROUP, "telegram:1")])
async def test_for_others_and_in_groups_there_are_no_commands_for_admins(
    store: SqlDialogStore, name: str, chat: str, person: str
) -> None:
    conversation = ruled(store)
    with pytest.raises(Refused) as unknown:
        await run_command(conversation, "nonsense", chat, Person(person), PERSON)
    with pytest.raises(Refused) as refused:
        await run_command(conversation, name, chat, Person(person), PERSON)
    assert str(refused.value) == str(unknown.value)
    assert store.blocked() == frozenset()


async def test_a_block_lasts_until_it_is_taken_back(store: SqlDialogStore) -> None:
    conversation = ruled(store)
    assert "telegram:42 is shut out" in await as_admin(conversation, "block", "42")
    assert await refusal(conversation) == ""
    conversation = ruled(store)  # after a restart
    assert await refusal(conversation) == ""
    assert PERSON in await as_admin(conversation, "block")
    store.forget(PERSON)
    assert "may talk" in await as_admin(conversation, "unblock", "telegram:42")
    assert await says(conversation) == "You said: hi"
    assert "not shut out" in await as_admin(conversation, "unblock", "42")


async def test_an_admin_can_be_shut_out_by_nobody(store: SqlDialogStore) -> None:
    conversation = ruled(store, blocked="telegram:1")
    assert "is an admin" in await as_admin(conversation, "block", "1")
    assert await says(conversation, "telegram:1", "telegram:1") == "You said: hi"


async def test_what_the_settings_block_is_unblocked_there(store: SqlDialogStore) -> None:
    conversation = ruled(store, blocked=PERSON)
    assert "KITH_BLOCKED" in await as_admin(conversation, "unblock", "42")
    assert await refusal(conversation) == ""


@pytest.mark.parametrize("argument", ["@ann", "4 2", "telegram:x", "42; DROP TABLE block", "٤٢", "9" * 30])
async def test_what_is_no_id_blocks_nobody(store: SqlDialogStore, argument: str) -> None:
    conversation = ruled(store)
    assert "/block 42" in await as_admin(conversation, "block", argument)
    assert store.blocked() == frozenset()


async def test_stats_tell_the_last_day_and_votes_by_source(store: SqlDialogStore) -> None:
    conversation = ruled(store)
    turn = talk(store, "hi", "hello")
    talk(store, "hm", chat=OTHER, person=OTHER)
    await conversation.vote(turn.id, CHAT, Person(PERSON), -1, "button")
    said = await as_admin(conversation, "stats")
    assert "people 2, messages 2, replies 2, without a good reply 1" in said
    assert "retrieval: 1, 👍 0, 👎 1" in said and "fallback: 1, 👍 0, 👎 0" in said
    glance = store.glance(now() + timedelta(minutes=1))
    assert (glance.people, glance.messages, glance.turns, glance.fallbacks) == (0, 0, 0, 0)


@pytest.mark.parametrize(("person", "told"), [("telegram:1", True), (PERSON, False)])
async def test_help_lists_the_commands_of_admins_to_them_alone(store: SqlDialogStore, person: str, told: bool) -> None:
    assert all((f"/{name}:" in ruled(store).help(Person(person))) == told for name in ADMIN)


@pytest.mark.parametrize("language", TEXTS.catalogues)
def test_every_command_of_admins_is_described(language: str) -> None:
    assert tuple(TEXTS.of(language).admin) == ADMIN


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("42", "telegram:42"),
        ("-100", GROUP),
        ("telegram:-100:7", "telegram:-100:7"),
        ("console:me", "console:me"),
        ("", None),
        ("telegram:", None),
        ("console:a b", None),
        ("42\n", None),
    ],
)
def test_an_id_is_one_of_telegram_unless_it_says_otherwise(text: str, name: str | None) -> None:
    assert full_id(text) == name
