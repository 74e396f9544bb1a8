"""Detection: pure functions over a checkout, in words that the log repeats."""
