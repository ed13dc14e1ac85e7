"""Experiments: arms that are trained alike but for one thing, their scores side by side, and what follows from them."""
