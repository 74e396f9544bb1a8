"""Obtains one certificate with certbot, in a unit and as a user of its own; what it leaves, the agent checks."""
