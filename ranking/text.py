"""A context as text for BERT: the one place, for training and for serving, for retriever and ranker."""

from collections.abc import Sequence

from storage.dialog import Context, Message

CONTEXT_MESSAGES = 4
"""What the ranker reads: the message to answer and up to three before it."""
CONTEXT_WORDS = 48
REPLY_WORDS = 32
PAIR_TOKENS = 108
"""Longest pair in tokens: 48 + 32 words of 1.3 tokens with their markers. What is longer, such as
a paragraph without spaces, is cut by the tokenizer. Most of a turn's time goes here, so it is no longer than chat needs
(medians by corpus: 5 to 18 words)."""
CUT_SIDE = "left"
"""Where the tokenizer cuts such a pair: the newest words stay."""


def as_text(messages: Sequence[Message]) -> str:
    """The newest messages, oldest first. Whole messages are dropped from the left; of a message
    that is too long by itself its last words stay."""
    lines: list[str] = []
    spare = CONTEXT_WORDS
    for message in reversed(messages[-CONTEXT_MESSAGES:]):
        words = message.text.split()
        if lines and len(words) > spare:
            break
        lines.append(" ".join(words[-CONTEXT_WORDS:]))
        spare -= len(words)
    return " ".join(reversed(lines))


def as_pair(context: Context, reply: str) -> tuple[str, str]:
    """What the cross-encoder reads: the context's end and the reply."""
    return as_text(context.messages), " ".join(reply.split()[:REPLY_WORDS])
