"""The recipe ``evaluate``: a manifest and a model -> a report."""
