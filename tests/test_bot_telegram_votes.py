"""Tests of bot/telegram_chat/pressing.py over HTTP: votes by buttons and reactions, retry, and choices."""

import pytest
import serving_bot
from bot_api import BotApi
from fixed_answers import FixedAnswers
from telegram.constants import ReactionEmoji
from telegram_people import Json, Somebody

from bot.telegram_chat.pressing import DISLIKED, LIKED
from bot.texts import load_texts
from storage.dialog import Vote, new_id
from storage.store import SqlDialogStore

TEXTS = load_texts()

store, answers, api = serving_bot.store, serving_bot.answers, serving_bot.api


@pytest.fixture
def ann(api: BotApi) -> Somebody:
    return api.person("Ann")


@pytest.fixture
async def reply(api: BotApi, ann: Somebody, store: SqlDialogStore) -> Json:
    """A reply to Ann, noted down as shown."""
    ann.say("hi")
    message = await ann.chat.hears()
    await api.until(lambda: store.turn_at(f"telegram:{ann.user['id']}", str(message["message_id"])))
    return message


def labels(message: Json) -> list[str]:
    return [button["text"] for row in message["reply_markup"]["inline_keyboard"] for button in row]


def turn_of(message: Json) -> str:
    """The turn that a reply's buttons are about."""
    return str(message["reply_markup"]["inline_keyboard"][0][2]["callback_data"]).removeprefix("r:")


def standing(store: SqlDialogStore, message: Json, person: Somebody) -> Vote | None:
    return store.vote_of(turn_of(message), f"telegram:{person.user['id']}")


def kept(store: SqlDialogStore, person: Somebody) -> Json:
    """All that is kept of somebody but for updates in hand."""
    return {**store.personal_data(f"telegram:{person.user['id']}"), "received": []}


async def settled(person: Somebody) -> None:
    """Returns when what the person did so far is done with: updates of a chat are handled one after the other."""
    person.say("/help")
    while "/forget" not in (await person.chat.hears()).get("text", ""):
        pass


# Buttons


async def test_a_vote_is_marked_can_be_changed_and_be_taken_back(
    ann: Somebody, reply: Json, store: SqlDialogStore
) -> None:
    for press, marked, value in (("👍", ["👍 ✓"], 1), ("👎", ["👎 ✓"], -1), ("👎", [], None)):
        ann.press(reply, press)
        await settled(ann)
        assert [label for label in labels(reply) if "✓" in label] == marked
        vote = standing(store, reply, ann)
        assert (vote.value if vote else None) == value


async def test_a_press_is_answered_before_anything_is_changed(api: BotApi, ann: Somebody, reply: Json) -> None:
    ann.press(reply, "👍")
    await settled(ann)
    pressed = [call.method for call in api.called("answerCallbackQuery", "editMessageReplyMarkup")]
    assert pressed == ["answerCallbackQuery", "editMessageReplyMarkup"]


async def test_a_double_tap_is_one_vote(api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore) -> None:
    data = f"v:{turn_of(reply)}:1"
    for _ in range(2):
        ann.forge(reply, data)
    await settled(ann)
    [dialog] = store.personal_data(f"telegram:{ann.user['id']}")["dialogs"]
    [answered] = dialog["messages"][0]["replies"]
    assert [event["value"] for event in answered["vote_history"]] == [1]
    assert labels(reply)[0] == "👍 ✓"


async def test_a_vote_waits_for_no_model(
    ann: Somebody, reply: Json, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    answers.hold()
    ann.say("tell me more")
    ann.press(reply, "👍")
    await settled(ann)
    vote = standing(store, reply, ann)
    assert vote and vote.value == 1
    answers.release()


async def test_after_a_dislike_a_reason_can_be_chosen(ann: Somebody, reply: Json, store: SqlDialogStore) -> None:
    ann.press(reply, "👎")
    await settled(ann)
    assert labels(reply)[3:] == list(TEXTS.of("en").reasons.values())
    ann.press(reply, "boring")
    await settled(ann)
    vote = standing(store, reply, ann)
    assert vote and (vote.value, vote.reason) == (-1, "boring")
    assert "boring ✓" in labels(reply)
    ann.press(reply, "👍")
    await settled(ann)
    assert labels(reply) == ["👍 ✓", "👎", "🔁"]


@pytest.mark.parametrize(
    "data",
    [
        "v:{turn}:5", "v:{turn}:1 or 1", "v:{other}:1", "v:{turn}:", "w:{turn}:0", "w:{turn}:9", "r:{other}", "r:",
        "privacy:1:off", "forget:{stranger}:yes", "launch", " ", "v:{turn}:1\n",
    ],
)  # fmt: skip
async def test_forged_and_stale_data_is_refused_politely_and_changes_nothing(
    api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore, data: str
) -> None:
    before = kept(store, ann)
    query = ann.forge(reply, data.format(turn=turn_of(reply), other=new_id(), stranger=ann.user["id"] + 1))
    await settled(ann)
    assert api.answers[query]
    assert not api.called("editMessageReplyMarkup", "editMessageText")
    assert kept(store, ann) == before


async def test_in_a_group_only_whom_it_answered_votes_and_retries(api: BotApi, store: SqlDialogStore) -> None:
    ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
    ann.say("@kith_bot hi", group)
    reply = await group.hears()
    queries = [bob.press(reply, label) for label in ("👍", "🔁")]
    await api.until(lambda: all(query in api.answers for query in queries))
    assert {api.answers[query] for query in queries} == {TEXTS.say("en", "not_addressed")}
    assert store.personal_data(f"telegram:{bob.user['id']}")["person"] is None  # not even written down
    query = ann.press(reply, "👍")
    await api.until(lambda: query in api.answers and labels(reply)[0] == "👍 ✓")
    assert standing(store, reply, bob) is None


async def test_a_vote_from_another_chat_is_refused(
    api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore
) -> None:
    group = api.group("Friends")
    ann.say("@kith_bot hi", group)
    query = ann.forge(await group.hears(), f"v:{turn_of(reply)}:1")
    await api.until(lambda: query in api.answers)
    assert api.answers[query] == TEXTS.say("en", "gone")
    assert standing(store, reply, ann) is None


async def test_a_vote_counts_even_when_its_query_is_too_old_to_be_answered(
    api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore
) -> None:
    query = ann.press(reply, "👍")
    api.answers[query] = "too late"
    await settled(ann)
    vote = standing(store, reply, ann)
    assert vote and vote.value == 1


# Retry


async def test_the_retry_button_says_something_else_and_keeps_the_rejected_reply(
    api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore
) -> None:
    rejected = turn_of(reply)
    ann.press(reply, "🔁")
    again = await ann.chat.hears()
    assert again["text"] == "You said (1): hi"
    turn = store.turn(turn_of(again))
    assert turn and turn.asked.retry_of == rejected
    assert store.turn(rejected)


async def test_a_second_tap_on_retry_is_refused(api: BotApi, ann: Somebody, reply: Json, answers: FixedAnswers) -> None:
    answers.hold()
    queries = [ann.press(reply, "🔁") for _ in range(2)]
    await settled(ann)
    assert [api.answers[query] for query in queries] == [
        TEXTS.say("en", "retry_working"),
        TEXTS.say("en", "retry_old"),
    ]
    answers.release()
    assert (await ann.chat.hears())["text"] == "You said (1): hi"


# Reactions


def test_all_reactions_with_an_opinion_are_telegrams_own() -> None:
    assert {emoji.value.replace("\ufe0f", "") for emoji in ReactionEmoji} >= LIKED | DISLIKED
    assert not LIKED & DISLIKED


@pytest.mark.parametrize(
    ("emoji", "value"), [("👍", 1), ("❤", 1), ("❤️‍🔥", 1), ("👎", -1), ("💩", -1), ("😢", None), ("🤔", None)]
)
async def test_a_reaction_to_a_reply_is_a_vote(
    ann: Somebody, reply: Json, store: SqlDialogStore, emoji: str, value: int | None
) -> None:
    ann.react(reply, emoji)
    await settled(ann)
    vote = standing(store, reply, ann)
    assert (vote and (vote.value, vote.kind)) == (value and (value, "reaction"))


async def test_removing_a_reaction_takes_its_vote_back_but_none_of_a_button(
    ann: Somebody, reply: Json, store: SqlDialogStore
) -> None:
    ann.react(reply, "👍")
    ann.react(reply, before=["👍"])
    await settled(ann)
    assert standing(store, reply, ann) is None
    ann.react(reply, "👍")
    ann.press(reply, "👎")
    ann.react(reply, before=["👍"])
    await settled(ann)
    vote = standing(store, reply, ann)
    assert vote and (vote.value, vote.kind) == (-1, "button")


async def test_reactions_of_others_and_to_other_messages_are_no_votes(api: BotApi, store: SqlDialogStore) -> None:
    ann, bob, forum = api.person("Ann"), api.person("Bob"), api.group("Forum", topics=(7,))
    asked = ann.say("@kith_bot hi", forum, topic=7)
    reply = await forum.hears()
    await api.until(lambda: store.turn_at(f"telegram:{forum.info['id']}", str(reply["message_id"])))
    bob.react(reply, "👎")
    ann.react(asked, "👎")
    ann.react(reply, "👍")  # reactions do not tell the topic, and count all the same
    bob.say("@kith_bot hi", forum, topic=7)
    await forum.hears()
    assert standing(store, reply, bob) is None
    vote = standing(store, reply, ann)
    assert vote and vote.value == 1


# Choices


async def test_a_persona_is_chosen_by_a_button_and_by_nobody_but_whom_was_asked(
    api: BotApi, store: SqlDialogStore
) -> None:
    ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
    ann.say("/persona", group)
    question = await group.hears()
    assert labels(question) == ["Friend ✓", "Listener", "Wit"]
    query = bob.press(question, "Wit")
    await api.until(lambda: query in api.answers)
    assert api.answers[query] == TEXTS.say("en", "not_addressed")
    ann.press(question, "Listener")
    await api.until(lambda: "Listener" in question["text"] and not question["reply_markup"])
    assert store.persona(f"telegram:{group.info['id']}") == "listener"


async def test_the_language_is_chosen_by_a_button(ann: Somebody) -> None:
    ann.say("/language")
    question = await ann.chat.hears()
    ann.press(question, "Русский")
    await settled(ann)
    assert question["text"] == "Теперь интерфейс на русском."


@pytest.mark.parametrize(("label", "consent", "state"), [
    ("You may learn", True, "privacy_in"), ("Don't learn", False, "privacy_out"),
])  # fmt: skip
async def test_consent_is_given_or_refused_by_a_button_of_start(
    ann: Somebody, store: SqlDialogStore, label: str, consent: bool, state: str
) -> None:
    person = f"telegram:{ann.user['id']}"
    ann.say("/start")
    question = await ann.chat.hears()
    assert store.person(person).consent is None
    ann.press(question, label)
    await settled(ann)
    assert store.person(person).consent is consent
    assert question["text"] == TEXTS.say("en", "start") + "\n\n" + TEXTS.say("en", state, hours="24")
    ann.say("/start")
    assert "reply_markup" not in await ann.chat.hears()


async def test_opting_out_and_in_again_by_buttons(ann: Somebody, store: SqlDialogStore) -> None:
    ann.say("/privacy")
    question = await ann.chat.hears()
    for label, consent in (("Don't learn", False), ("You may learn", True)):
        ann.press(question, label)
        await settled(ann)
        assert store.person(f"telegram:{ann.user['id']}").consent is consent


@pytest.mark.parametrize(("label", "outcome", "left"), [("Yes", "forget_done", 0), ("No", "forget_kept", 1)])
async def test_forget_asks_first(
    api: BotApi, ann: Somebody, reply: Json, store: SqlDialogStore, label: str, outcome: str, left: int
) -> None:
    ann.say("/forget")
    question = await ann.chat.hears()
    assert len(store.personal_data(f"telegram:{ann.user['id']}")["dialogs"]) == 1
    ann.press(question, label)
    await api.until(lambda: question["text"] == TEXTS.say("en", outcome))
    assert len(store.personal_data(f"telegram:{ann.user['id']}")["dialogs"]) == left
