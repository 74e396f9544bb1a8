"""Slipway: one line turns a bare Linux server into a place where software ships itself."""

__version__ = "0.1.0"
