"""The bot: settings, the pipeline of a turn, and its front ends (Telegram, terminal, command line)."""
