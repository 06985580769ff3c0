"""A conversation as token ids: the one place, for training and for serving.

Every model is spoken to in its own chat template. Models trained here carry `ROLE_TEMPLATE`, in which each role is one
token; a model without a template (a plain GPT-2, say) gets `PLAIN_TEMPLATE`, a script in which each line begins with a
name. Long conversations lose their oldest messages, whole ones, never the newest words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from storage.dialog import Context, Message

END = "<|end|>"
SPECIAL_TOKENS = (END, "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")

ROLE_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] }}\n"
    "{% else %}Friend:{% generation %} {{ message['content'] }}\n{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Friend:{% endif %}"
)

PLAIN_STOP = "\n"
"""What ends a turn in the plain template."""

Chat: TypeAlias = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as ids, and for each id whether the assistant said it (the loss mask). Equal lengths."""

    ids: list[int]
    spoken: list[bool]


def as_chat(messages: Sequence[Message], persona: str = "", system: bool = True) -> Chat:
    """Messages in the form that chat templates take. Neighbours of one role are joined, since many templates insist on
    turns that alternate; without `system`, the persona opens the first message instead."""
    chat: Chat = []
    for message in messages:
        if chat and chat[-1]["role"] == message.role:
            chat[-1]["content"] += "\n" + message.text
        else:
            chat.append({"role": message.role, "content": message.text})
    if persona and system:
        chat.insert(0, {"role": "system", "content": persona})
    elif persona and chat:
        chat[0] = {"role": chat[0]["role"], "content": persona + "\n\n" + chat[0]["content"]}
    return chat


def render(tokenizer: PreTrainedTokenizerBase, chat: Chat, prompt: bool) -> Rendered:
    """A chat through the template, nothing cut. `prompt` ends it with the opening of the assistant's turn.

    Text that spells one of the tokenizer's special tokens loses it: nobody may type the end of their own turn and go on
    as the bot."""
    chat = [{"role": m["role"], "content": _plain(m["content"], tokenizer)} for m in chat]
    template = tokenizer.chat_template or PLAIN_TEMPLATE
    marks_speech = isinstance(template, str) and "{% generation %}" in template
    encoded = tokenizer.apply_chat_template(
        chat,
        chat_template=template if isinstance(template, str) else None,
        add_generation_prompt=prompt,
        return_dict=True,
        return_assistant_tokens_mask=marks_speech,
    )
    ids = list(encoded["input_ids"])
    mask = encoded["assistant_masks"] if marks_speech else [0] * len(ids)
    return Rendered(ids, [bool(m) for m in mask])


def render_context(tokenizer: PreTrainedTokenizerBase, context: Context, room: int, system: bool = True) -> list[int]:
    """The prompt for the reply to a context: at most `room` ids. The persona and the newest messages stay; older ones
    go, whole, until it fits. Only a single message that is too long by itself is cut, on its left, and a persona that
    would fill more than half of the room, on its right."""
    kept = list(context.messages)
    lengths = [len(tokenizer.encode(m.text, add_special_tokens=False)) + 4 for m in kept]
    facts = tokenizer.encode(context.persona, add_special_tokens=False)
    persona = context.persona if 2 * len(facts) <= room else tokenizer.decode(facts[: room // 2])
    spare = room - min(len(facts), room // 2) - 4
    while len(kept) > 1 and (sum(lengths) > spare or kept[0].role != "user"):
        kept, lengths = kept[1:], lengths[1:]
    while True:
        ids = render(tokenizer, as_chat(kept, persona, system), prompt=True).ids
        if len(ids) <= room:
            return ids
        if len(kept) == 1:
            return _cut_last(tokenizer, kept[0], persona, system, room)
        kept = kept[1:]
        while len(kept) > 1 and kept[0].role != "user":  # many templates insist that the user begins
            kept = kept[1:]


def render_reply(tokenizer: PreTrainedTokenizerBase, reply: str) -> list[int]:
    """The ids of a reply as the model is to write it after a prompt, to the one that ends it."""
    asked = Message("user", "Hi")
    before = render(tokenizer, as_chat([asked]), prompt=True).ids
    whole = render(tokenizer, as_chat([asked, Message("assistant", reply)]), prompt=False).ids
    if whole[: len(before)] == before:
        ids = whole[len(before) :]
    else:  # a template that opens the bot's turn otherwise than it writes it down, with room for thoughts, say
        ids = [*tokenizer.encode(_plain(reply, tokenizer), add_special_tokens=False), tokenizer.eos_token_id]
    ends = [place for place, number in enumerate(ids) if number == tokenizer.eos_token_id]
    return ids[: ends[-1] + 1] if ends else ids


def takes_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template accepts a system message (some refuse it)."""
    try:
        render(tokenizer, [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], prompt=True)
    except TemplateError:
        return False
    return True


def _cut_last(tokenizer: PreTrainedTokenizerBase, message: Message, persona: str, system: bool, room: int) -> list[int]:
    ids = tokenizer.encode(message.text, add_special_tokens=False)
    whole = render(tokenizer, as_chat([message], persona, system), prompt=True).ids
    while len(whole) > room and ids:
        ids = ids[max(1, len(whole) - room) :]
        text = tokenizer.decode(ids)
        whole = render(tokenizer, as_chat([Message(message.role, text)], persona, system), prompt=True).ids
    return whole[-room:]


def _plain(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Without special tokens, those included that come about when others are taken out; on one line where lines are
    what makes a turn."""
    before = None
    while text != before:
        before = text
        for token in tokenizer.added_tokens_encoder:
            text = text.replace(token, "") if token.strip() else text
    return text if tokenizer.chat_template else " ".join(text.splitlines())
