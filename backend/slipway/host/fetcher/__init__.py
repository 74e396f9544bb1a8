"""Fetches a repository into a bare mirror: the one place where Slipway's Git meets servers it does not trust.

Runs in a unit of its own, as a user of its own: `python -I -m slipway.host.fetcher ORDER.json`.
"""
