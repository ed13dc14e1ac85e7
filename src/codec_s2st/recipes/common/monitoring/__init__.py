"""What a training tells of itself, beside its losses; the names are in ``docs/guides/monitoring.md``."""
