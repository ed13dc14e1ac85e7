"""``codec-s2st launch``: recipes and pipelines as processes of this machine, or as jobs of SLURM through submitit.

Launching is not training: nothing in this folder imports torch or fairseq2. What runs is a child process each rank.
"""
