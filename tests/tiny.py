"""Real models that are too small to be slow: a test module asks for them by `pytest_plugins = ("tiny",)`.

A BERT with random weights, as bi-encoder and as cross-encoder, of our own kind and of that which other libraries load;
and generators that have learnt three dialogs by heart, so that what they say can be foreseen.
"""

import re
from pathlib import Path
from string import ascii_lowercase, digits

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from generation.data import make_tokenizer
from generation.from_bert import decoder_from_bert
from generation.prompt import as_chat, render
from ranking.cross_encoder import begin_cross_encoder
from ranking.data import OWN
from ranking.delta import save_delta
from ranking.dialog_encoder import LAGS, load_dialog_encoder
from ranking.encoders import load_encoder
from ranking.expected import ExpectedReply
from ranking.lines import read_lines
from ranking.pool import curated
from ranking.toxicity import Toxicity, fit_toxicity
from ranking.vectors import Encoder
from storage.dialog import Message

torch.set_num_threads(1)

LEARNT = {
    "hello there": "Good morning to you. How are you?",
    "my dog is ill and i am sad": "Poor dog. I hope it gets well soon.",
    "what shall we eat": "Pizza!",
}
"""What the tiny generator was taught to say to whom."""

TEXTS = [*LEARNT, *LEARNT.values(), "the cat sleeps all day", "tell me a joke please", "it rains, good night"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    """Our own kind: bytes, role tokens, chat template."""
    return make_tokenizer(TEXTS, 400, 128)


@pytest.fixture(scope="session")
def generator_folder(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama with one layer that knows LEARNT by heart."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    learn(model, tokenizer)
    return save(tmp_path_factory.mktemp("generator"), model, tokenizer)


def learn(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, steps: int = 30) -> None:
    """Teaches the replies of LEARNT by heart."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rows = []
    for asked, reply in LEARNT.items():
        rendered = render(tokenizer, as_chat([Message("user", asked), Message("assistant", reply)]), prompt=False)
        ids = torch.tensor([rendered.ids])
        rows.append((ids, torch.where(torch.tensor([rendered.spoken]), ids, -100)))
    for _ in range(steps):
        optimizer.zero_grad()
        for ids, labels in rows:
            model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML's, as many models of a hub have it: it does not mark who said what."""


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of another's kind, with a chat template of its own; its weights are random."""
    torch.manual_seed(0)
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator([*TEXTS, "user", "assistant", "system"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",  # nosec B106  # a token of a vocabulary
        additional_special_tokens=special[:1],
        chat_template=CHAT_TEMPLATE,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return save(tmp_path_factory.mktemp("chat"), LlamaForCausalLM(config), tokenizer)


@pytest.fixture(scope="session")
def plain_tokenizer() -> PreTrainedTokenizerBase:
    """GPT-2's kind: one special token, no padding token, no chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


@pytest.fixture(scope="session")
def plain_folder(plain_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GPT-2 with one layer that knows LEARNT by heart."""
    torch.manual_seed(0)
    end = plain_tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(plain_tokenizer), n_positions=96, n_embd=32, n_layer=1, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    learn(model, plain_tokenizer)
    return save(tmp_path_factory.mktemp("plain"), model, plain_tokenizer)


@pytest.fixture(scope="session")
def bert_tokenizer() -> PreTrainedTokenizerBase:
    """BERT's kind, WordPiece in lower case: a few words, and letters for all others. (What the library's own trainer
    makes of so little text is different each time.)"""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [piece for letter in ascii_lowercase + digits for piece in (letter, f"##{letter}")]
    words = sorted({word for text in TEXTS for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *letters, *words, "##?"]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, special, strict=True)))


def bert_config(tokenizer: PreTrainedTokenizerBase) -> BertConfig:
    """Wide weights, so that random ones still tell texts apart."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        initializer_range=0.2,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )


@pytest.fixture(scope="session")
def bert_folder(bert_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT."""
    torch.manual_seed(0)
    return save(tmp_path_factory.mktemp("bert"), BertModel(bert_config(bert_tokenizer)), bert_tokenizer)


@pytest.fixture(scope="session")
def bert_generator_folder(
    bert_folder: str, tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A decoder of 64 tokens with the layers of that BERT, which knows LEARNT by heart."""
    torch.manual_seed(0)
    model = decoder_from_bert(bert_folder, tokenizer, 64)
    learn(model, tokenizer, steps=15)
    return save(tmp_path_factory.mktemp("bert_generator"), model, tokenizer)


@pytest.fixture(scope="session")
def bi_encoder_folder(bert_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """That BERT as a SentenceTransformer, whose library takes seconds to import."""
    from sentence_transformers import SentenceTransformer

    folder = str(tmp_path_factory.mktemp("bi_encoder"))
    SentenceTransformer(bert_folder).save(folder)
    return folder


@pytest.fixture(scope="session")
def distilbert_folder(bert_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random SentenceTransformer that is no BERT."""
    from sentence_transformers import SentenceTransformer

    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(bert_tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=128
    )
    folder = str(tmp_path_factory.mktemp("sentence_distilbert"))
    inner = save(tmp_path_factory.mktemp("distilbert"), DistilBertModel(config), bert_tokenizer)
    SentenceTransformer(inner).save(folder)
    return folder


@pytest.fixture(scope="session")
def retriever_folder(bert_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """That BERT as `kith train retriever` writes it, every weight moved."""
    model = load_dialog_encoder(bert_folder)
    before = {name: weight.clone() for name, weight in model.bert.state_dict().items()}
    move(model, seed=1)
    folder = tmp_path_factory.mktemp("retriever")
    save_delta(folder, bert_folder, before, {**model.bert.state_dict(), "lags": model.lags})
    return str(folder)


@pytest.fixture(scope="session")
def bi_encoder(retriever_folder: str) -> Encoder:
    """That retriever, loaded."""
    return load_encoder(retriever_folder)


@pytest.fixture(scope="session")
def ranker_folder(bert_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """That BERT as `kith train ranker` writes it, every weight moved."""
    torch.manual_seed(0)
    model = begin_cross_encoder(bert_folder, (OWN, "thumbs"))
    model.expected = ExpectedReply(torch.ones(LAGS), model.bert.config.hidden_size, hidden=8)
    before = {name: weight.clone() for name, weight in model.bert.state_dict().items()}
    move(model, seed=2)
    folder = tmp_path_factory.mktemp("ranker")
    save_delta(folder, bert_folder, before, model.state())
    return str(folder)


FITTED: dict[tuple[str, str], Toxicity] = {}
"""By test module, which has a pool of its own, and by the retriever's version."""


@pytest.fixture
def quick_toxicity(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each new data folder fits to a tiny retriever is fitted once, to a tenth of the lines that are unfit or not
    and as few of the pool: it takes a second."""

    def fit_once(encoder: Encoder) -> Toxicity:
        key = (request.node.nodeid.partition("::")[0], encoder.version)
        if key not in FITTED:
            FITTED[key] = fit_toxicity(encoder)
        return Toxicity(encoder, FITTED[key].weights, FITTED[key].version)

    monkeypatch.setattr("ranking.toxicity.fit_toxicity", fit_once)
    monkeypatch.setattr("ranking.toxicity.read_lines", lambda path: read_lines(path)[::10])
    monkeypatch.setattr("ranking.toxicity.curated", lambda: curated()[::10])


@torch.no_grad()
def move(model: torch.nn.Module, seed: int) -> None:
    """Changes each weight a little, at random."""
    draw = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn(weight.shape, generator=draw))


@pytest.fixture(scope="session")
def cross_encoder_folder(bert_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT with one output, as a CrossEncoder loads it."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(bert_config(bert_tokenizer))
    return save(tmp_path_factory.mktemp("cross_encoder"), model, bert_tokenizer)


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Model and tokenizer in one folder, as transformers loads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
