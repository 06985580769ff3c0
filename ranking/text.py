"""A context as text for the cross-encoder: the one place, for training and for serving."""

from collections.abc import Sequence

from storage.dialog import Context, Message

CONTEXT_MESSAGES = 5
"""What the ranker reads: the message to answer and up to four before it."""
CONTEXT_WORDS = 56
REPLY_WORDS = 40
CONTEXT_TOKENS, REPLY_TOKENS = 72, 48
"""Longest context and reply in tokens. What is longer, such as a paragraph without spaces, is cut. No longer than chat
needs (medians by corpus: 5 to 18 words)."""
PAIR_TOKENS = 112
"""Longest pair in tokens, for cross-encoders that read pairs."""
CUT_SIDE = "left"
"""Where the tokenizer cuts a context or a pair: the newest words stay."""
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
    """What a cross-encoder of pairs reads: the context's end and the reply."""
    text, (beginning,) = as_read(context, [reply])
    return text, beginning


def as_read(context: Context, replies: Sequence[str]) -> tuple[str, list[str]]:
    """What the cross-encoder reads: the context's end and the beginnings of replies."""
    return as_text(context.messages), [" ".join(reply.split()[:REPLY_WORDS]) for reply in replies]
