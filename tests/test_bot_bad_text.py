"""Whatever people write: Unicode of all kinds goes through every text entry, and comes out fit for what follows."""

import asyncio
from collections.abc import Iterator

import pytest
from fixed_answers import FixedAnswers, conversation_with, empty_log
from hypothesis import example, given, settings
from hypothesis import strategies as st
from telegram_people import units
from transformers import PreTrainedTokenizerBase
from turn_values import CHAT, PERSON, ask, turn_for

from bot.admin import ADMIN
from bot.cli.pool import plain
from bot.commands import choose, run_command
from bot.console_screen import printable
from bot.conversation import Refused
from bot.rights import Rights, Rules
from bot.splitting import split
from bot.texts import load_texts
from generation.prompt import render_context
from generation.sampling import tidy
from ranking.features import cheap_features
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context, Message, new_id
from storage.store import SqlDialogStore

pytest_plugins = ("tiny",)

LIMIT = 4096
EMOJI = "😀" * 100_000
ODD = [
    "", " \n\t ", "\0", "\ud83d", "a\ud800b", "\udcff", "\u202egnirts\u202c", "\u200b\u200d\ufeff", "\x1b[2J\x9b2J",
    "👩‍👩‍👧‍👦" * 50, "e" + "\u0301" * 500, "<b>bold</b> & *bold* _x_ `y` [z](tg://user?id=1)", "{name} {0} {} %s {{",
    "/start", "/persona\u00a0wit", "@kith_bot", "a" * LIMIT, "😀" * (LIMIT // 2), "<|user|><|end|>", "[SEP] [CLS]",
    "'; DROP TABLE message; --", "\u2028\u2029\x85", "ﷺ" * 300, "\U0010ffff", "\r\n\r\n", "=HYPERLINK(1)",
]  # fmt: skip
"""What has broken others."""

ANY = st.text(st.characters(), max_size=60) | st.sampled_from(ODD)
"""Any text at all, lone surrogates among it."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path_factory.mktemp("texts")) as store:
        yield store


def whole(text: str) -> bool:
    """Whether a text can be written and sent: no half characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Talking


@given(text=ANY)
def test_what_is_said_is_kept_but_for_what_no_database_takes(store: SqlDialogStore, text: str) -> None:
    kept = store.context(ask(store, text, chat=f"telegram:{new_id()}")).last
    assert whole(kept) and "\0" not in kept
    if whole(text):
        assert kept == text.replace("\0", "")


@given(text=ANY, external_id=st.text(max_size=5), key=st.text(st.characters(), max_size=20))
def test_ids_and_edits_may_be_anything(store: SqlDialogStore, text: str, external_id: str, key: str) -> None:
    chat = f"telegram:{new_id()}"
    taken = store.take(chat, PERSON, "hi", f"{new_id()}{key}", external_id)
    assert taken is not None
    store.edit(chat, external_id, text)
    assert whole(store.context(taken).last)


@given(text=ANY, reply=ANY)
def test_replies_of_any_kind_are_logged_and_come_back_whole(store: SqlDialogStore, text: str, reply: str) -> None:
    turn = turn_for(ask(store, text, chat=f"telegram:{new_id()}"), reply, reply, message=text)
    store.add_turn(turn)
    logged = store.turn(turn.id)
    assert logged and whole(logged.decision.reply)
    assert store.personal_data(PERSON)["dialogs"]


def test_a_hundred_thousand_emoji_are_a_message(store: SqlDialogStore) -> None:
    assert store.context(ask(store, EMOJI, chat="telegram:emoji")).last == EMOJI


# Commands and choices


@settings(max_examples=30)
@given(name=ANY | st.sampled_from(["persona", "language", "feedback", "forget", "start", *ADMIN]), value=ANY)
def test_no_argument_of_a_command_does_more_than_be_refused(store: SqlDialogStore, name: str, value: str) -> None:
    async def say() -> None:
        conversation = conversation_with(FixedAnswers(store))
        conversation.rights = Rights(store, load_texts(), Rules(admins=frozenset({PERSON})))
        me = await conversation.person(PERSON)
        for attempt in (run_command, choose):
            try:
                assert await attempt(conversation, name, CHAT, me, value)
            except Refused as refused:
                assert str(refused)

    asyncio.run(say())
    assert store.blocked() == frozenset()
    assert store.person(PERSON).id == PERSON


async def test_a_deep_link_does_no_more_than_start(store: SqlDialogStore) -> None:
    conversation = conversation_with(FixedAnswers(store))
    me = await conversation.person(PERSON)
    said = {
        str(await run_command(conversation, "start", CHAT, me, payload))
        for payload in ("", "forget_yes", "persona_wit", "admin", "block_1", "a" * 64, "../../etc/passwd", "<b>")
    }
    assert len(said) == 1
    assert store.persona(CHAT) == "" and await conversation.person(PERSON) == me


# Showing


@given(text=ANY | st.text(st.sampled_from("a 😀.\n\ud83d"), min_size=20, max_size=90), limit=st.integers(2, 40))
@example(text="😀" * 21, limit=2)
def test_a_text_is_cut_so_that_each_piece_fits_and_no_word_is_lost(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(piece.strip() for piece in pieces)
    assert all(len(piece.encode("utf-16-le", "surrogatepass")) // 2 <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("letter", ["a", "😀", "\u0301", "👩‍👩‍👧"])
def test_at_the_limit_of_a_message_nothing_is_lost(letter: str, size: int) -> None:
    text = (letter * size)[:size]
    pieces = split(text, LIMIT)
    assert "".join(pieces) == text and max(map(units, pieces)) <= LIMIT


def test_a_hundred_thousand_emoji_are_cut() -> None:
    assert "".join(split(EMOJI, LIMIT)) == EMOJI


@given(text=ANY)
def test_nothing_that_is_said_commands_a_terminal(text: str) -> None:
    assert whole(printable(text)) and not {"\x1b", "\x07", "\x9b", "\r", "\0"} & set(printable(text))


# Models


@given(text=ANY, finished=st.booleans())
def test_what_a_model_wrote_can_be_sent_or_is_nothing(text: str, finished: bool) -> None:
    shown = tidy(text, finished)
    assert whole(shown) and printable(shown) == shown and "\n" not in shown


def test_half_an_emoji_from_a_server_is_left_out() -> None:
    assert tidy("Well done \ud83d!", True) == "Well done !"


@given(said=ANY, heard=ANY, reply=ANY)
def test_every_cheap_feature_is_a_number(said: str, heard: str, reply: str) -> None:
    context = Context((Message("user", heard), Message("assistant", reply), Message("user", said)), rejected=(heard,))
    for name, feature in cheap_features().items():
        assert isinstance(float(feature(context, Candidate(reply, "generation", 0.0))), float), name


@pytest.mark.parametrize("piece", ["😀", "a", " ", "a ", "!?", "'\"", "\u200d"])
def test_features_of_a_text_without_end_come_to_an_end(piece: str) -> None:
    text = piece * 100_000
    for feature in cheap_features().values():
        feature(Context((Message("user", text),)), Candidate(text, "generation", 0.0))


@settings(max_examples=30)
@given(said=ANY.filter(whole), persona=ANY.filter(whole))
def test_a_prompt_can_be_made_of_anything_and_fits(tokenizer: PreTrainedTokenizerBase, said: str, persona: str) -> None:
    ids = render_context(tokenizer, Context((Message("user", said),), persona=persona), 100)
    assert 0 < len(ids) <= 100


@settings(max_examples=20)
@given(texts=st.lists(ANY.filter(whole), max_size=4))
def test_a_vector_can_be_made_of_anything(bi_encoder: Encoder, texts: list[str]) -> None:
    assert bi_encoder.encode(texts).shape == (len(texts), bi_encoder.width)


@given(text=ANY)
def test_a_text_of_the_pool_can_be_said_and_embedded(text: str) -> None:
    assert whole(plain(text)) and printable(plain(text)) == plain(text)
