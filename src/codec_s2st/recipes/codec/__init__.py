"""The recipe ``codec``: trains the embedded codec."""
