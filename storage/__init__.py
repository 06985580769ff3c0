"""What is kept: the values of a dialog, the log of every turn in SQL, and the records made from it."""
