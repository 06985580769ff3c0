"""The generator on tiny models that know three replies by heart: what it says, when it keeps silent, how it scores."""

import math
from pathlib import Path

import pytest
import torch
from tiny import learn, save
from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerBase

from generation.generator import UNREPEATED, UNREPEATED_OWN, GptGenerator, made
from generation.prompt import as_chat, render
from generation.sampling import GeneratorError, Sampling
from storage.dialog import Candidate, Context, Message

pytest_plugins = ("tiny",)

HELLO, DOG, FOOD = "hello there", "my dog is ill and i am sad", "what shall we eat"
NOTHING = 1e-6
"""A nucleus that holds the likeliest token alone."""


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 on the CPU, so that figures can be compared."""
    monkeypatch.setattr("generation.generator.place", lambda: ("cpu", torch.float32))


def greedy(folder: str, candidates: int = 1, max_new_tokens: int = 40) -> GptGenerator:
    return GptGenerator(folder, Sampling(candidates, max_new_tokens, top_p=NOTHING))


def asked(text: str) -> Context:
    return Context((Message("user", text),))


def texts(proposals: list[list[Candidate]]) -> list[list[str]]:
    return [[candidate.text for candidate in candidates] for candidates in proposals]


def test_each_context_gets_the_reply_that_was_learnt_for_it(generator_folder: str) -> None:
    generator = greedy(generator_folder)
    (found,) = generator.propose([asked(FOOD)])
    assert [(c.text, c.source, c.origin) for c in found] == [("Pizza!", "generation", Path(generator_folder).name)]
    assert texts(generator.propose([asked(DOG)])) == [["Poor dog. I hope it gets well soon."]]


def test_several_chats_in_one_batch_get_what_each_would_get_alone(generator_folder: str) -> None:
    generator = greedy(generator_folder)
    long = Context(
        (*(Message("user", "it rains, good night"), Message("assistant", "Pizza!")) * 4, Message("user", DOG))
    )
    contexts = [asked(HELLO), long, asked(FOOD), asked(DOG)]
    together = generator.propose(contexts)
    for context, candidates in zip(contexts, together, strict=True):
        (alone,) = generator.propose([context])
        assert [c.text for c in alone] == [c.text for c in candidates]
        assert [c.score for c in alone] == pytest.approx([c.score for c in candidates], abs=1e-4)


def test_no_run_of_words_comes_twice(generator_folder: str) -> None:
    """To a model for which all tokens are alike the first one is always the best."""
    generator = greedy(generator_folder)
    torch.nn.init.zeros_(generator.model.get_output_embeddings().weight)
    assert generator.decoder
    generator.decoder.ends = frozenset()
    ((drawn,),) = generator.decoder.draw([[5, 6, 7]])
    ids = [5, 6, 7, *drawn.ids]
    for said, length in ((ids, UNREPEATED), (drawn.ids, UNREPEATED_OWN)):
        runs = [tuple(said[i : i + length]) for i in range(len(said) - length + 1)]
        assert len(runs) > 2 * length
        assert len(set(runs)) == len(runs)


def test_the_prompt_s_short_runs_may_be_said_again_and_others_models_may_repeat_theirs(
    generator_folder: str, plain_folder: str
) -> None:
    generator = greedy(generator_folder)
    torch.nn.init.zeros_(generator.model.get_output_embeddings().weight)
    assert generator.decoder
    generator.decoder.ends = frozenset()
    ((drawn,),) = generator.decoder.draw([[5, 6, 7]])
    best = drawn.ids[:UNREPEATED_OWN]
    ((again,),) = generator.decoder.draw([[5, *best, 7]])
    assert again.ids[:UNREPEATED_OWN] == best
    assert generator.decoder.own == UNREPEATED_OWN
    other = greedy(plain_folder)
    assert other.decoder
    assert other.decoder.own == UNREPEATED


def test_equal_samples_are_one_candidate(generator_folder: str) -> None:
    assert texts(greedy(generator_folder, candidates=4).propose([asked(FOOD), asked(HELLO)])) == [
        ["Pizza!"], ["Good morning to you. How are you?"],
    ]  # fmt: skip


def test_the_score_is_the_mean_log_probability_of_the_reply_and_of_its_end(generator_folder: str) -> None:
    generator = GptGenerator(generator_folder, Sampling(candidates=8, temperature=1.2, top_p=1.0))
    torch.manual_seed(0)
    (found,) = generator.propose([asked(FOOD)])
    (pizza,) = (candidate for candidate in found if candidate.text == "Pizza!")
    chat = as_chat([Message("user", FOOD), Message("assistant", "Pizza!")])
    rendered = render(generator.tokenizer, chat, prompt=False)
    ids = torch.tensor([rendered.ids])
    with torch.inference_mode():
        likely = generator.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    own = likely.gather(1, ids[0, 1:, None])[:, 0]
    assert pizza.score == pytest.approx(float(own[torch.tensor(rendered.spoken[1:])].mean()), abs=1e-4)
    assert all(math.isfinite(candidate.score) for candidate in found)
    assert max(found, key=lambda candidate: candidate.score) == pizza


def test_a_reply_that_was_cut_off_loses_its_broken_sentence(
    generator_folder: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    whole = "Good morning to you. How are you?"
    for cut, shown in (("Good morning to you. How", ["Good morning to you."]), ("Good morning", []), (whole, [whole])):
        generator = greedy(generator_folder, max_new_tokens=len(tokenizer.encode(cut)))
        assert texts(generator.propose([asked(HELLO)])) == [shown]


def test_a_model_that_counts_positions_by_itself_is_read_by_its_own_library(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=1, n_head=2, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, hidden_dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    model = BloomForCausalLM(config)
    learn(model, tokenizer, 40)
    generator = greedy(save(tmp_path, model, tokenizer), candidates=2)
    assert generator.decoder is None
    found = generator.propose([asked(FOOD), asked(DOG)])
    assert texts(found) == [["Pizza!"], ["Poor dog. I hope it gets well soon."]]
    assert all(-1 < candidate.score < 0 for candidates in found for candidate in candidates)


def test_the_random_numbers_go_on_from_turn_to_turn(generator_folder: str) -> None:
    generator = GptGenerator(generator_folder, Sampling(candidates=6, temperature=2.0, top_p=1.0))
    torch.manual_seed(0)
    first, second = generator.propose([asked(HELLO)]), generator.propose([asked(HELLO)])
    assert texts(first) != texts(second)
    torch.manual_seed(0)
    assert texts(generator.propose([asked(HELLO)])) == texts(first)


def test_no_context_is_no_work(generator_folder: str) -> None:
    assert greedy(generator_folder).propose([]) == []


def test_a_dialog_and_a_message_longer_than_the_model_can_read_are_no_error(generator_folder: str) -> None:
    said = tuple(Message("user" if i % 2 == 0 else "assistant", "the cat sleeps all day") for i in range(60))
    long, endless = Context((*said, Message("user", FOOD))), asked("the cat sleeps " * 400)
    assert len(greedy(generator_folder).propose([long, endless])) == 2


def test_a_plain_model_without_template_or_padding_token_talks_line_by_line(plain_folder: str) -> None:
    generator = greedy(plain_folder)
    assert texts(generator.propose([asked(FOOD), asked(DOG)])) == [["Pizza!"], ["Poor dog. I hope it gets well soon."]]
    (found,) = GptGenerator(plain_folder, Sampling(candidates=8, temperature=2.0)).propose([asked(HELLO)])
    assert all("\n" not in c.text and "User:" not in c.text for c in found)


def test_a_plain_model_scores_its_line_as_any_other(plain_folder: str) -> None:
    ((pizza,),) = greedy(plain_folder).propose([asked(FOOD)])
    assert -1 < pizza.score < 0


def test_a_model_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(GeneratorError, match=f"The generator {folder} cannot be loaded"):
            GptGenerator(str(folder))


def test_a_model_without_room_for_a_reply_is_refused(generator_folder: str) -> None:
    with pytest.raises(GeneratorError, match="has no room for 125 new tokens"):
        GptGenerator(generator_folder, Sampling(max_new_tokens=125))


def test_the_day_a_model_was_made_is_its_version(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="is not whole"):
        made(tmp_path)
    (tmp_path / "training.json").write_text('{"made": "2026-11-20T12:00:00+00:00"}')
    assert made(tmp_path) == "2026-11-20"
