"""A decoder that begins with a BERT's layers: what it takes over, that it reads from left to right, what it says."""

import os
from pathlib import Path

import pytest
import torch
from transformers import BertLMHeadModel, BertModel, PreTrainedTokenizerBase

from bot.cli import ENVIRONMENT, main
from generation.from_bert import decoder_from_bert, word_vectors
from generation.generator import GptGenerator
from generation.prompt import as_chat, render
from generation.sampling import GeneratorError, Sampling
from storage.dialog import Context, Message

pytest_plugins = ("tiny",)

LENGTH = 64
"""Half of what the tiny BERT reads."""

HELLO, DOG = "hello there", "my dog is ill and i am sad"
REPLIES = ["Good morning to you. How are you?", "Poor dog. I hope it gets well soon."]
"""What the tiny generators were taught to say to these."""

CLOSE = 1e-4


@pytest.fixture(scope="module")
def encoder(bert_folder: str) -> BertModel:
    return BertModel.from_pretrained(bert_folder).eval()


@pytest.fixture(scope="module")
def decoder(bert_folder: str, tokenizer: PreTrainedTokenizerBase) -> BertLMHeadModel:
    """As it begins, untrained."""
    torch.manual_seed(1)  # another one than the BERT's own
    return decoder_from_bert(bert_folder, tokenizer, LENGTH).eval()


def prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> torch.Tensor:
    return torch.tensor([render(tokenizer, as_chat([Message("user", text)]), prompt=True).ids])


def test_the_layers_are_the_berts(encoder: BertModel, decoder: BertLMHeadModel) -> None:
    before, after = encoder.state_dict(), decoder.bert.state_dict()
    words, places = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    assert torch.equal(after.pop(places), before[places][:LENGTH])
    after.pop(words)
    assert sum("encoder.layer.0" in name for name in after) == 16
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name


def test_what_stands_first_is_read_as_the_bert_reads_it(encoder: BertModel, decoder: BertLMHeadModel) -> None:
    """Nothing comes after it, so that the direction makes no difference; to three words it does."""
    torch.manual_seed(0)
    one, three = torch.randn(1, 1, 32), torch.randn(1, 3, 32)
    with torch.inference_mode():
        for words, same in ((one, True), (three, False)):
            whole, causal = (model(inputs_embeds=words).last_hidden_state for model in (encoder, decoder.bert))
            assert torch.allclose(whole, causal, atol=CLOSE) is same


@pytest.mark.parametrize(
    ("token", "pieces"),
    [
        (" dog", ["dog"]),
        ("hello", ["hello"]),
        ("Good", ["good"]),
        (" How", ["how"]),
        ("?", ["?"]),
        ("o", ["##o"]),
        (" rain", ["r", "##a", "##i", "##n"]),
        ("zza", ["z", "##z", "##a"]),
        ("Poo", ["p", "##o", "##o"]),
    ],
)
def test_a_token_begins_at_the_vector_of_its_wordpiece_or_at_the_mean_of_several(
    token: str,
    pieces: list[str],
    encoder: BertModel,
    decoder: BertLMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    bert_tokenizer: PreTrainedTokenizerBase,
) -> None:
    (number,) = tokenizer.encode(token)
    known = encoder.get_input_embeddings().weight[bert_tokenizer.convert_tokens_to_ids(pieces)]
    for table in (decoder.get_input_embeddings(), decoder.get_output_embeddings()):
        assert torch.allclose(table.weight[number], known.mean(0))


def test_role_tokens_bytes_and_spaces_are_no_words_and_begin_afresh(
    encoder: BertModel, tokenizer: PreTrainedTokenizerBase, bert_tokenizer: PreTrainedTokenizerBase
) -> None:
    known = encoder.get_input_embeddings().weight.detach()
    vectors = word_vectors(known, bert_tokenizer, tokenizer, torch.full((len(tokenizer), 32), 7.0))
    fresh = {number for number, row in enumerate(vectors) if bool((row == 7.0).all())}
    assert set(tokenizer.all_special_ids) == set(range(5)) < fresh
    for number in fresh - set(range(5)):
        assert not any(map(str.isalnum, tokenizer.decode([number]))), number
    assert len(tokenizer) - len(fresh) > 150


def test_it_reads_from_left_to_right(decoder: BertLMHeadModel, tokenizer: PreTrainedTokenizerBase) -> None:
    ids = prompt(tokenizer, "what shall we eat")
    place = ids.shape[1] // 2
    changed = ids.clone()
    changed[0, place] = (ids[0, place] + 1) % len(tokenizer)
    with torch.inference_mode():
        before, after = decoder(input_ids=ids).logits, decoder(input_ids=changed).logits
    assert torch.allclose(before[:, :place], after[:, :place], atol=1e-6)
    assert ((before - after)[0, place:].abs().amax(-1) > CLOSE).all()


def test_with_a_cache_it_writes_the_same_as_without(
    bert_generator_folder: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = BertLMHeadModel.from_pretrained(bert_generator_folder)
    options = {"max_new_tokens": 20, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    for asked, reply in zip((HELLO, DOG), REPLIES, strict=True):
        ids = prompt(tokenizer, asked)
        cached, plain = (model.generate(ids, use_cache=use, **options) for use in (True, False))
        assert cached.past_key_values is not None
        assert plain.past_key_values is None
        assert torch.equal(cached.sequences, plain.sequences)
        assert torch.allclose(torch.stack(cached.logits), torch.stack(plain.logits), atol=CLOSE)
        assert tokenizer.decode(cached.sequences[0, ids.shape[1] :], skip_special_tokens=True) == reply


def test_two_chats_at_once_get_what_each_gets_alone(
    bert_generator_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shorter prompt is padded on the left, and its words count their places from its own start."""
    monkeypatch.setattr("generation.generator.place", lambda: ("cpu", torch.float32))
    generator = GptGenerator(bert_generator_folder, Sampling(1, 20, top_p=1e-6))
    assert len({prompt(generator.tokenizer, text).shape for text in (HELLO, DOG)}) == 2
    contexts = [Context((Message("user", text),)) for text in (HELLO, DOG)]
    together = [found for (found,) in generator.propose(contexts)]
    alone = [found for context in contexts for (found,) in generator.propose([context])]
    assert [found.text for found in together] == [found.text for found in alone] == REPLIES
    assert [found.score for found in together] == pytest.approx([found.score for found in alone], abs=CLOSE)


def test_a_dialog_may_fill_all_of_its_length(bert_generator_folder: str) -> None:
    generator = GptGenerator(bert_generator_folder, Sampling(2, 8, top_p=1.0))
    assert generator.room == LENGTH - 8
    assert len(generator.sample([Context((Message("user", "the cat sleeps " * 60),))])[0]) == 2


def test_a_length_beyond_the_berts_and_what_is_no_bert_are_refused(
    bert_folder: str, generator_folder: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    assert decoder_from_bert(bert_folder, tokenizer, 128).config.max_position_embeddings == 128
    with pytest.raises(GeneratorError, match="reads 128 tokens at the most: a length of 129 is too long"):
        decoder_from_bert(bert_folder, tokenizer, 129)
    with pytest.raises(GeneratorError, match="is no BERT but a model of the kind 'llama'"):
        decoder_from_bert(generator_folder, tokenizer, 64)
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(GeneratorError, match=f"There is no BERT at {nothing}"):
            decoder_from_bert(str(nothing), tokenizer, 64)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--encoder", "{bert}", "--length", "129"], "a length of 129 is too long"),
        (["--encoder", "{nothing}"], "There is no BERT at"),
        (["--base", "{nothing}"], "cannot be loaded"),
        (["--base", "{bert}", "--encoder", "{bert}"], "Name either --base or --encoder"),
    ],
)
def test_on_the_command_line_that_is_one_sentence_and_code_2(
    options: list[str],
    says: str,
    bert_folder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that what `main` sets is taken back
    data = tmp_path / "talks.jsonl"
    data.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n')
    named = [option.format(bert=bert_folder, nothing=tmp_path) for option in options]
    code = main(["train", "generator", "--data", str(data), "--out", str(tmp_path / "out"), *named])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
