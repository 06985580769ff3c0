"""A world to test the loop in: synthetic people with hidden tastes, who talk to the real pipeline and vote."""
