"""Who writes down what is heard, a family a file. Who can be named stands in ``recipes/evaluate/listeners.py``."""
