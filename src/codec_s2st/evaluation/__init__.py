"""Scores of texts and of speech, and the report that carries them."""
