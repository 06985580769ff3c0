"""The terminal front end, `kith chat`: the same conversation and commands as in Telegram, with `+` and `-` for votes.

A line is a message, a command, a vote on the latest reply, or, after a question, one of its answers: by number or by
words. Any other line is as if the question had not been asked.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bot.commands import choose, run_command
from bot.console_screen import Screen
from bot.conversation import Conversation, Refused
from bot.questions import Choice, Question
from storage.dialog import REASONS, Person, Turn, VoteValue, new_id, now

VOTES: dict[str, VoteValue] = {"+": 1, "-": -1}
REASON, FEELING = "reason", "feeling"
"""What the questions after a 👎 and after a talk are called, next to those of `bot.commands.choose`."""


class ConsoleChat:
    """A person at a terminal, whose id is that of the chat too."""

    def __init__(self, conversation: Conversation, screen: Screen, name: str, language: str) -> None:
        """`name` tells the people of one machine apart; `language` counts when this one is new."""
        self.conversation, self.screen = conversation, screen
        self.chat, self.language = f"console:{name}", language
        self.asked = ""
        """The question before this line."""
        self.choices: tuple[Choice, ...] = ()
        """What may be chosen in answer to it."""
        self.question_id = ""
        """Of the question how they feel."""

    async def run(self) -> None:
        """Talks until there are no more lines, or one is /quit."""
        person = await self.person()
        self.screen.header(self.conversation.say(person, "console_header"))
        while (line := self.screen.read(self.conversation.say(person, "console_you"))) is not None:
            if line.strip() == "/quit":
                break
            try:
                await self.handle(person, line.strip())
            except Refused as refused:
                if str(refused):
                    self.screen.notice(str(refused))
            person = await self.person()

    async def person(self) -> Person:
        """Who talks here. They run Kith, and the log is theirs, so they are not asked whether it may be learnt from;
        /privacy lets them say no."""
        person = await self.conversation.person(self.chat, self.language)
        return person if person.consent is not None else await self.conversation.set_consent(person, on=True)

    async def handle(self, person: Person, line: str) -> None:
        """One line. Raises Refused."""
        name, choices, self.choices = self.asked, self.choices, ()
        if value := chosen(choices, line):
            await self.choose(person, name, value)
        elif line in VOTES:
            await self.vote(person, VOTES[line])
        elif line.startswith("/"):
            command, _, argument = line[1:].partition(" ")
            await self.command(person, command.lower(), argument.strip())
        elif line:
            await self.talk(person, line)

    async def talk(self, person: Person, text: str) -> None:
        """A message and its reply."""
        with self.screen.working("…"):
            turn = await self.conversation.hear(
                self.chat, person.id, text, f"console:{new_id()}", language=self.language
            )
        if turn is not None:
            self.show(person, turn)

    async def command(self, person: Person, name: str, argument: str) -> None:
        """A command: those of every front end, and what only a terminal has."""
        match name:
            case "retry":
                with self.screen.working("…"):
                    turn = await self.conversation.retry(self.chat, person)
                self.show(person, turn)
            case "export":
                await self.export(person, argument)
            case "explain":
                self.screen.explain(await self.latest(person))
            case "help":
                self.screen.say(self.conversation.help(person) + "\n" + self.conversation.say(person, "console_help"))
            case _:
                self.answer(name, await run_command(self.conversation, name, self.chat, person, argument))
                if name == "new":
                    await self.ask_after_talk()

    async def ask_after_talk(self) -> None:
        """How somebody feels, when /new ended a longer talk: at a terminal nothing notices silence."""
        talk = await self.conversation.after_talk.next(self.chat, timedelta(0))
        if talk is not None:
            question = self.conversation.after_talk.question(talk.person)
            self.question_id = talk.id
            self.screen.notice(question.text)
            self.offer(FEELING, question.choices)

    async def vote(self, person: Person, value: VoteValue) -> None:
        """A vote on the latest reply; the same one again takes it back, as a second tap on a button does."""
        turn = await self.latest(person)
        before = await self.conversation.vote_of(turn.id, person)
        if before is not None and before.value == value:
            value = 0
        await self.conversation.vote(turn.id, self.chat, person, value, "console")
        text = self.conversation.say(person, {1: "vote_up", -1: "vote_down", 0: "vote_back"}[value])
        self.screen.notice(text)
        if value == -1:
            labels = self.conversation.texts.of(person.language).reasons
            self.offer(REASON, tuple(Choice(reason, labels[reason]) for reason in REASONS))

    async def choose(self, person: Person, name: str, value: str) -> None:
        """The answer to a question."""
        if name == REASON:
            turn = await self.latest(person)
            await self.conversation.vote(turn.id, self.chat, person, -1, "console", value)
            self.screen.notice(self.conversation.say(person, "vote_reason"))
            return
        if name == FEELING:
            self.screen.notice(await self.conversation.after_talk.answer(self.question_id, person, value))
            return
        shown = await choose(self.conversation, name, self.chat, person, value)
        self.screen.say(shown.text if isinstance(shown, Question) else shown)

    async def export(self, person: Person, file: str) -> None:
        """The person's data: into a new file, or, between pipes and without a name, to standard output."""
        document = json.dumps(await self.conversation.export(person), ensure_ascii=False, indent=2)
        if not file and self.screen.plain:
            self.screen.say(document)
            return
        path = write_new(file or f"kith-export-{now():%Y%m%d-%H%M%S}.json", document)
        self.screen.notice(f"{self.conversation.say(person, 'export')} {path}")

    async def latest(self, person: Person) -> Turn:
        """The latest reply. Raises Refused when there is none."""
        turn = await self.conversation.last_turn(self.chat)
        if turn is None:
            raise Refused(self.conversation.say(person, "console_nothing"))
        return turn

    def show(self, person: Person, turn: Turn) -> None:
        """A reply, with what can be done about it unless /feedback is off."""
        self.screen.reply(turn.decision.reply, self.conversation.say(person, "console_hint") if person.buttons else "")

    def answer(self, name: str, shown: str | Question) -> None:
        """What a command says or asks."""
        if isinstance(shown, str):
            self.screen.say(shown)
        else:
            self.screen.say(shown.text)
            self.offer(name, shown.choices)

    def offer(self, name: str, choices: tuple[Choice, ...]) -> None:
        """Choices for the next line."""
        self.asked, self.choices = name, choices
        self.screen.offer([f"{choice.label} ✓" if choice.chosen else choice.label for choice in choices])


def chosen(choices: Sequence[Choice], line: str) -> str:
    """The value that a line chooses, by number, value or label; "" when it is none of them."""
    for number, choice in enumerate(choices, 1):
        if line.casefold() in (str(number), choice.value.casefold(), choice.label.casefold()):
            return choice.value
    return ""


def write_new(file: str, text: str) -> Path:
    """A new file that only its owner may read. Raises Refused when it cannot be made."""
    path = Path(file).expanduser().absolute()
    try:
        path.touch(0o600, exist_ok=False)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}.") from None
    return path
