"""A context as text for the cross-encoder: the one place, for training and for serving."""

from collections.abc import Sequence

from storage.dialog import Context, Message

CONTEXT_MESSAGES = 5
"""What the ranker reads: the message to answer and up to four before it."""
CONTEXT_WORDS = 56
REPLY_WORDS = 40
PAIR_TOKENS = 112
"""Longest pair in tokens. What is longer, such as a paragraph without spaces, is cut by the tokenizer. Most of a turn's
time goes here, so it is no longer than chat needs (medians by corpus: 5 to 18 words)."""
CUT_SIDE = "left"
"""Where the tokenizer cuts such a pair: the newest words stay."""
OURS = ">"
"""Stands before what the assistant said."""


def as_text(messages: Sequence[Message]) -> str:
    """The newest messages, oldest first. Whole messages are dropped from the left; of a message
    that is too long by itself its last words stay."""
    lines: list[str] = []
    spare = CONTEXT_WORDS
    for message in reversed(messages[-CONTEXT_MESSAGES:]):
        words = message.text.split()
        if lines and len(words) > spare:
            break
        said = " ".join(words[-CONTEXT_WORDS:])
        lines.append(f"{OURS} {said}" if message.role == "assistant" else said)
        spare -= len(words)
    return " ".join(reversed(lines))


def as_pair(context: Context, reply: str) -> tuple[str, str]:
    """What the cross-encoder reads: the context's end and the reply."""
    return as_text(context.messages), " ".join(reply.split()[:REPLY_WORDS])
