"""Candidates that are written: a GPT-style generator, local or behind an OpenAI-compatible server, and its training."""
