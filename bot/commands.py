"""The commands and choices that every front end has: a word in, a text or a question out.

/retry and /export are not among them: what they give, a reply and a document, each front end shows in its own way.
"""

from bot.admin import ADMIN, run_admin_command
from bot.conversation import Conversation, Refused
from bot.questions import Question
from storage.dialog import Person

PRIVATE = ("privacy", "export", "forget")
"""Commands about a person rather than a chat: not for the eyes of a group."""


async def run_command(
    conversation: Conversation, name: str, chat: str, person: Person, argument: str = ""
) -> str | Question:
    """What a command of the catalogue says. Raises Refused, also for a command that there is not.

    For everybody but admins, and in groups, there are none for admins.
    """
    conversation.rights.admit(chat, person)
    if name in ADMIN and conversation.rights.is_admin(person.id) and chat == person.id:
        return await run_admin_command(conversation, name, person, argument)
    match name, argument.lower():
        case "start", _:
            return conversation.start(chat, person)
        case "help", _:
            return conversation.help(person)
        case "new", _:
            return await conversation.new(chat, person)
        case "persona", "":
            return await conversation.personas(chat, person)
        case "language", "":
            return conversation.languages(person)
        case "feedback", ("on" | "off") as state:
            return await conversation.set_feedback(person, state == "on")
        case "feedback", _:
            return conversation.feedback(person)
        case "privacy", _:
            return conversation.privacy(person)
        case "forget", _:
            return conversation.ask_to_forget(person)
        case (("persona" | "language"), value):
            return await choose(conversation, name, chat, person, value)
    raise Refused(conversation.say(person, "unknown_command"))


async def choose(conversation: Conversation, name: str, chat: str, person: Person, value: str) -> str | Question:
    """Makes a choice that the command `name` offered. Raises Refused for one that it did not."""
    conversation.rights.admit(chat, person)
    match name, value:
        case "persona", _:
            return await conversation.set_persona(chat, person, value)
        case "language", _:
            return await conversation.set_language(person, value)
        case "start", ("on" | "off"):
            return conversation.start(chat, await conversation.set_consent(person, value == "on"))
        case "privacy", ("on" | "off"):
            return conversation.privacy(await conversation.set_consent(person, value == "on"))
        case "forget", "yes":
            return await conversation.forget(person)
        case "forget", "no":
            return conversation.say(person, "forget_kept")
    raise Refused(conversation.say(person, "unknown_button"))
