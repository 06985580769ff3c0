"""Tests of bot/texts.py and bot/personas.py: both languages say the same things, and owners' files are checked."""

from pathlib import Path
from string import Formatter

import pytest

from bot.personas import known_persona, load_personas
from bot.settings import UserError
from bot.texts import Catalogue, fallback, load_texts
from storage.dialog import REASONS, Context, Message

TEXTS = load_texts()
ENGLISH = TEXTS.of("en")

PERSONA = """
facts = ["I am Kith, a program that talks like a pirate."]
name = { en = "Pirate" }
description = { en = "arr" }
"""


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("catalogue", TEXTS.catalogues.values(), ids=TEXTS.catalogues)
def test_catalogues_have_the_same_keys_and_placeholders(catalogue: Catalogue) -> None:
    assert {key: placeholders(text) for key, text in catalogue.says.items()} == {
        key: placeholders(text) for key, text in ENGLISH.says.items()
    }
    assert list(catalogue.commands) == list(ENGLISH.commands)
    assert list(catalogue.admin) == list(ENGLISH.admin)
    assert tuple(catalogue.reasons) == REASONS
    assert len(set(catalogue.fallback)) == len(ENGLISH.fallback) > 1
    assert {key: len(texts) for key, texts in catalogue.moderated.items()} == {
        key: len(texts) for key, texts in ENGLISH.moderated.items()
    }


@pytest.mark.parametrize("catalogue", TEXTS.catalogues.values(), ids=TEXTS.catalogues)
def test_no_text_of_a_catalogue_is_empty(catalogue: Catalogue) -> None:
    sections = catalogue.says, catalogue.commands, catalogue.admin, catalogue.reasons
    assert all(text.strip() for section in sections for text in section.values())
    assert all(text.strip() for text in (catalogue.language, *catalogue.fallback))
    assert all(text.strip() for texts in catalogue.moderated.values() for text in texts)


@pytest.mark.parametrize(
    ("code", "language"),
    [("ru", "ru"), ("ru-RU", "ru"), ("RU", "ru"), ("en-GB", "en"), ("de", "en"), ("", "en"), (None, "en")],
)
def test_an_apps_language_is_spoken_where_there_is_a_catalogue_else_english(code: str | None, language: str) -> None:
    assert TEXTS.language(code) == language


def test_placeholders_are_filled_in() -> None:
    assert TEXTS.say("en", "persona_set", name="Wit") == "Wit it is, from the next reply on."


@pytest.mark.parametrize("language", TEXTS.catalogues)
def test_a_fallback_does_not_repeat_itself_in_a_dialog_until_all_were_said(language: str) -> None:
    say = fallback(TEXTS)
    heard: list[str] = []
    for _ in TEXTS.of(language).fallback:
        rejected = tuple(heard[:1])  # a reply that was sent back counts as heard, too
        said = [Message("assistant", text) for text in heard[1:]]
        heard.append(say(Context((*said, Message("user", "so?")), rejected=rejected), language))
    assert sorted(heard) == sorted(TEXTS.of(language).fallback)
    assert say(Context(tuple(Message("assistant", text) for text in heard)), language) in heard


@pytest.mark.parametrize("name", load_personas())
def test_each_persona_says_that_it_is_a_program_and_is_described_in_both_languages(name: str) -> None:
    persona = load_personas()[name]
    assert "I am Kith, a computer program" in persona.system
    assert all(fact.startswith(("I ", "My ")) for fact in persona.facts)
    assert set(persona.name) == set(persona.description) == set(TEXTS.catalogues)


def test_an_owners_persona_joins_ours_and_takes_the_place_of_one_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "pirate.toml").write_text(PERSONA)
    (tmp_path / "wit.toml").write_text(PERSONA)
    personas = load_personas(tmp_path)
    assert set(personas) == {"friend", "listener", "wit", "pirate"}
    assert personas["wit"].called("ru") == "Pirate"  # English where it has no Russian name
    assert personas["pirate"].system == "I am Kith, a program that talks like a pirate."


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("pirate.toml", "facts = [", "cannot be read"),
        ("pirate.toml", PERSONA.replace("facts", "fact"), "facts: Field required"),
        ("pirate.toml", PERSONA + "mood = 'sunny'", "mood: Extra inputs"),
        ("pirate.toml", PERSONA.replace("name = { en", "name = { fr"), '"en" text'),
        ("pirate.toml", "facts = []\nname = { en = 'P' }\ndescription = { en = 'p' }", "facts: "),
        ("Jack Sparrow.toml", PERSONA, "its name"),
    ],
)
def test_a_wrong_persona_file_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=complaint) as error:
        load_personas(tmp_path)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_personas_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="KITH_PERSONAS_DIR"):
        load_personas(tmp_path / "nowhere")


def test_a_default_persona_that_is_not_there_is_named_with_those_that_are() -> None:
    assert known_persona(load_personas(), "wit") == "wit"
    with pytest.raises(UserError, match=r"KITH_PERSONA is 'parrot'.*friend, listener, wit"):
        known_persona(load_personas(), "parrot")
