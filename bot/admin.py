"""The commands of those who run the bot: the log at a glance, and shutting people and chats out.

They answer in an admin's own chat only, and nobody else can tell that they exist (`bot.commands`).
"""

import asyncio

from bot.conversation import Conversation
from bot.rights import full_id
from storage.dialog import Person

ADMIN = ("stats", "block", "unblock")


async def run_admin_command(conversation: Conversation, name: str, person: Person, argument: str) -> str:
    """What one of ADMIN says."""
    if name == "stats":
        return await stats(conversation, person)
    rights, target = conversation.rights, full_id(argument)
    if not argument and name == "block":
        blocked = rights.blocked()
        return conversation.say(person, "admin_list", ids="\n".join(blocked) if blocked else "-")
    if target is None:
        return conversation.say(person, "admin_usage")
    if name == "block":
        done = await asyncio.to_thread(rights.block, target)
        return conversation.say(person, "admin_blocked" if done else "admin_is_admin", id=target)
    done = await asyncio.to_thread(rights.unblock, target)
    return conversation.say(person, "admin_unblocked" if done else "admin_not_blocked", id=target)


async def stats(conversation: Conversation, person: Person) -> str:
    """What happened in the last day, and how replies were liked by where they came from."""
    found = await asyncio.to_thread(conversation.rights.glance)
    counts = {name: str(getattr(found, name)) for name in ("people", "messages", "turns", "fallbacks")}
    by_source = (
        f"{source}: {turns}, 👍 {likes}, 👎 {dislikes}" for source, (turns, likes, dislikes) in found.by_source.items()
    )
    return conversation.say(person, "admin_stats", **counts, sources="\n".join(by_source) or "-")
