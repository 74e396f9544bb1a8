"""How fast and how small: `python -m tests.benchmarks [NAME…]` runs all, or those named, on a box of its own.

What is compared is measured in turns within one run, because machines are noisy; the figures are medians over the
turns. It ends with 1 when a request failed or a stream broke.
"""
