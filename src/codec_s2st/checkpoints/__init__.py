"""Checkpoints of training runs that can be trusted: whole or not there, verified, and free of pickles."""

from __future__ import annotations

from fairseq2.runtime.dependency import DependencyContainer


def register(container: DependencyContainer) -> None:
    """Registers the loader of models from checkpoints of runs."""
    from fairseq2.model_checkpoint import ModelCheckpointLoader

    from codec_s2st.checkpoints.loader import RunCheckpointLoader

    container.collection.register_type(ModelCheckpointLoader, RunCheckpointLoader)
