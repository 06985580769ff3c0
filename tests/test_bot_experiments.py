"""Who is in which variant, what settings say about variants, and variants with their models loaded."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from bot.assemble import load_generator
from bot.experiments import VariantSettings, assigned
from bot.settings import Settings, UserError, env_name, load_settings
from bot.variants import load_variants
from ranking.encoders import load_encoder
from ranking.policy import PolicyError, ScoringPolicy, Weights
from storage.dialog import Candidate, Context, Message

pytest_plugins = ("tiny",)

BASE = Weights("base", {"ranker": 1.0}, {"unsafe": 1.0})
PEOPLE = [f"telegram:{number}" for number in range(4000)]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper() in {env_name(field) for field in Settings.model_fields}:
            monkeypatch.delenv(name)
    return tmp_path


def variants(**weights: float) -> list[VariantSettings]:
    return [VariantSettings(name=name, weight=weight) for name, weight in weights.items()]


def test_people_are_shared_out_by_weight_and_stay_where_they_are() -> None:
    shared = Counter(assigned(person, "e", variants(now=1, new=3)).name for person in PEOPLE)
    assert shared["new"] / len(PEOPLE) == pytest.approx(0.75, abs=0.03)
    assert assigned("telegram:42", "colder", variants(now=1, new=1)).name == "new"  # on every machine, for ever


def test_another_experiment_assigns_anew() -> None:
    two = variants(now=1, new=1)
    same = sum(assigned(person, "e", two) == assigned(person, "f", two) for person in PEOPLE)
    assert same / len(PEOPLE) == pytest.approx(0.5, abs=0.03)


def test_variants_are_named_in_kith_toml_or_as_json(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        'experiment = "colder"\n[[variants]]\nname = "now"\n[[variants]]\nname = "cold"\nweight = 2\nexploration = 0\n'
    )
    (place / "kith.toml").write_text(text)
    settings = load_settings()
    monkeypatch.setenv("KITH_VARIANTS", '[{"name": "now"}, {"name": "cold", "weight": 2, "exploration": 0}]')
    named = VariantSettings(name="now"), VariantSettings(name="cold", weight=2, exploration=0)
    assert load_settings().variants == settings.variants == named
    assert settings.experiment == "colder"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"name": "a", "weight": "much"}, {"name": "b"}], "entry 1: weight: .*valid number"),
        ([{"name": "a"}, {"name": "b", "weight": 0}], "entry 2: weight: .*greater than 0"),
        ([{"name": "a"}, {"name": "b", "wieght": 1}], "entry 2: wieght"),
        ([{"name": "a"}, {"name": "a"}], "two variants are called a"),
        ([{"name": "a"}], "one variant alone shows nothing"),
        ([{"weight": 1}, {"name": "b"}], "entry 1: name: Field required"),
        ([{"name": "a"}, {"name": "b", "ranker": "/not/there"}], "there is no folder /not/there"),
        (3, "tuple"),
    ],
)
def test_a_wrong_variant_is_one_sentence(monkeypatch: pytest.MonkeyPatch, given: object, says: str) -> None:
    monkeypatch.setenv("KITH_VARIANTS", json.dumps(given))
    with pytest.raises(UserError, match=rf"^The setting KITH_VARIANTS is wrong: .*{says}") as raised:
        load_settings()
    assert "\n" not in str(raised.value)


# Loaded


def settings_with(*given: dict[str, object], **others: object) -> Settings:
    values: dict[str, object] = {"variants": [{"name": f"v{n}", **each} for n, each in enumerate(given)], **others}
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def person_in(settings: Settings, name: str) -> str:
    """Somebody of that variant."""
    return next(p for p in PEOPLE if assigned(p, settings.experiment, settings.variants).name == name)


def test_without_variants_there_are_none(bi_encoder_folder: str) -> None:
    assert load_variants(Settings(_env_file=None), BASE, load_encoder(bi_encoder_folder), load_generator) is None


def test_a_variant_has_the_parts_that_it_names_and_no_others(
    bi_encoder_folder: str, cross_encoder_folder: str, generator_folder: str, place: Path
) -> None:
    (place / "policy.json").write_text(json.dumps({"version": "own", "weights": {"length": 1.0}, "vetoes": {}}))
    settings = settings_with(
        {},
        {"ranker": cross_encoder_folder, "exploration": 0.7},
        {"policy": place / "policy.json", "generator": generator_folder, "persona": "wit"},
    )
    variant_of = load_variants(settings, BASE, load_encoder(bi_encoder_folder), load_generator)
    assert variant_of
    plain, ranked, written = (variant_of(person_in(settings, f"v{n}")) for n in range(3))
    assert (plain.policy, dict(plain.sources), dict(plain.scorers)) == (None, {}, {})
    assert plain.versions == {"experiment": "experiment", "variant": "v0"}
    assert isinstance(ranked.policy, ScoringPolicy) and isinstance(written.policy, ScoringPolicy)
    assert (ranked.policy.weights, ranked.policy.temperature) == (BASE, 0.7)
    context = Context((Message("user", "hello there"),))
    assert len(ranked.scorers["ranker"]([(context, [Candidate("Hi.", "x", 0.0)])])[0]) == 1
    assert ranked.versions["policy"] == "base, temperature 0.7"
    assert set(ranked.versions) == {"experiment", "variant", "ranker", "policy"}
    assert (written.policy.weights.version, written.policy.temperature, written.persona) == (
        "own",
        settings.exploration,
        "wit",
    )
    assert {"toxic", "with_minor"} <= set(written.policy.weights.vetoes), "no variant is less safe"
    assert written.sources["generation"]([context])[0][0].source == "generation"


@pytest.mark.parametrize(
    ("given", "others", "error", "says"),
    [
        ({"persona": "clown"}, {}, UserError, "The variant v1 has the persona 'clown'.*friend.*wit"),
        ({"generator": "gpt2"}, {"candidates": 0}, UserError, "The variant v1 names a generator"),
        ({"policy": "gone.json"}, {}, PolicyError, "gone.json is not a file of policy weights"),
    ],
)
def test_what_a_variant_cannot_have_is_told_at_the_start(
    bi_encoder_folder: str, given: dict[str, object], others: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        load_variants(settings_with({}, given, **others), BASE, load_encoder(bi_encoder_folder), load_generator)
