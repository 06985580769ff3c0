"""A new generator that begins with what a BERT knows: its layers, read from left to right, and its word vectors.

The vocabulary is our own, cased one; each of its tokens starts at the vector of the wordpiece that it spells, or at the
mean of the wordpieces that it falls into. The idea of starting a decoder from BERT is Rothe et al. 2020, "Leveraging
pre-trained checkpoints for sequence generation tasks" (arXiv 1907.12461); docs/experiments.md has what it brings.
"""

import torch
from transformers import AutoConfig, AutoTokenizer, BertConfig, BertLMHeadModel, BertModel, PreTrainedTokenizerBase

from generation.sampling import GeneratorError


def bert_config(name: str, length: int) -> BertConfig:
    """The configuration of the BERT in folder or hub id `name`. Raises GeneratorError when there is none, or one that
    reads fewer than `length` tokens."""
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # as for any model
        raise GeneratorError(f"There is no BERT at {name}: {error}") from error
    if config.model_type != "bert":
        raise GeneratorError(f"{name} is no BERT but a model of the kind {config.model_type!r}.")
    width = config.max_position_embeddings
    if length > width:
        raise GeneratorError(f"{name} reads {width} tokens at the most: a length of {length} is too long.")
    return config


def decoder_from_bert(name: str, tokenizer: PreTrainedTokenizerBase, length: int) -> BertLMHeadModel:
    """A causal language model over `tokenizer`, with the layers of the BERT in folder or hub id `name`; at most as long
    as the BERT. Raises GeneratorError when there is no such BERT."""
    config = bert_config(name, length)
    config.update(
        {
            "is_decoder": True,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": length,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "bos_token_id": None,  # nosec B105  # a token of a vocabulary
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
    )
    try:
        encoder = BertModel.from_pretrained(name, dtype=torch.float32, use_safetensors=True)
        wordpieces = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # as for any model
        raise GeneratorError(f"The BERT {name} cannot be loaded: {error}") from error
    model = BertLMHeadModel(config)
    model.loss_type = "ForCausalLM"  # which the library takes anyway, but warns about, as the class is named otherwise
    kept = {key: value for key, value in encoder.state_dict().items() if "pooler" not in key}
    kept["embeddings.position_embeddings.weight"] = kept["embeddings.position_embeddings.weight"][:length]
    fresh = model.get_input_embeddings().weight.detach()
    known = kept["embeddings.word_embeddings.weight"]
    kept["embeddings.word_embeddings.weight"] = word_vectors(known, wordpieces, tokenizer, fresh)
    model.bert.load_state_dict(kept)
    model.tie_weights()
    return model


def word_vectors(
    known: torch.Tensor, wordpieces: PreTrainedTokenizerBase, tokenizer: PreTrainedTokenizerBase, fresh: torch.Tensor
) -> torch.Tensor:
    """Vectors of shape (len(tokenizer), width): rows of `known` (wordpieces, width) where a token is made of
    wordpieces, rows of `fresh` for bytes and role tokens that are not."""
    vocabulary = wordpieces.get_vocab()
    vectors = fresh.clone()
    special = set(tokenizer.all_special_ids)
    for number in range(len(tokenizer)):
        spelled = tokenizer.decode([number])
        word = spelled.strip().lower()
        if not word or number in special:
            continue
        # BERT's tokenizer splits at punctuation, so the vectors of "##." and the like were never trained
        inside = not spelled.startswith(" ") and word.isalnum() and f"##{word}" in vocabulary
        whole = f"##{word}" if inside else word
        if whole in vocabulary:
            vectors[number] = known[vocabulary[whole]]
        elif pieces := wordpieces.encode(word, add_special_tokens=False):
            vectors[number] = known[pieces].mean(0)
    return vectors
