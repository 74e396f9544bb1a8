"""How much memory the machine has."""

import os


def total() -> int:
    """In MB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
