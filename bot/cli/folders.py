"""Options that name a model: a folder must hold nothing but its data."""

from typing import TypeVar

T = TypeVar("T", str, list[str] | None)


def model(named: T) -> T:
    """A model's name as it was typed, or each of several. Raises UserError for a folder that is unfit."""
    from bot.model_folders import UnfitFolder, check_model
    from bot.settings import UserError

    for name in [named] if isinstance(named, str) else named or ():
        try:
            check_model(name)
        except UnfitFolder as unfit:
            raise UserError(f"{unfit}.") from None
    return named
