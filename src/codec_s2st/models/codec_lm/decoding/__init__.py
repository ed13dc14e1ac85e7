"""The decoder of a codec_lm model laid out for generation: the same weights, without modules. See ``fused.py``."""
