"""Candidates that are found, and how all candidates are judged: pool, retriever, ranker, features, policy."""
