"""How one model is spoken to: the same prompt for serving and for training it on votes."""

import json
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from generation.examples import Examples
from generation.prompt import ROLE_TEMPLATE, render_context, render_reply, takes_system
from storage.dialog import Context

CHARACTERS_PER_TOKEN = 3
"""At the least, in English: examples fill a third of the room, not more."""


def examples_of(name: str, otherwise: int) -> int:
    """How many dialogs of Kith's voice a model is shown: as many as when `kith train generator` trained it, whose card
    says so, or `otherwise` for one that others trained."""
    try:
        card = json.loads((Path(name) / "training.json").read_text(encoding="utf-8"))
        return int(card["settings"].get("examples", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return otherwise


class Rendering:
    """Contexts and replies as one model's ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, room: int, examples: int = 0) -> None:
        """`room`: ids that a prompt may have; `examples`: dialogs of Kith's voice that a model not trained here is
        shown."""
        self.tokenizer, self.room = tokenizer, room
        self.system = takes_system(tokenizer)
        self.ours = tokenizer.chat_template == ROLE_TEMPLATE
        self.examples = Examples(0 if self.ours else examples, room * CHARACTERS_PER_TOKEN // 3)

    def prompt(self, context: Context) -> list[int]:
        """What the model is given to answer a context."""
        told = replace(context, persona=self.examples.told(context.persona))
        return render_context(self.tokenizer, told, self.room, self.system)

    def reply(self, text: str) -> list[int]:
        """What it is to write."""
        return render_reply(self.tokenizer, text)
