"""The demo world: a small Spanish-English language, its voices, and a listener that shares nothing with our models.

Needs the extra ``demo`` (espeak-ng through ``espeakng-loader``, and ``pocketsphinx``).
"""
