"""Neural audio codecs behind one interface. LAYER 1: knows `tokens`, not the models.

One family, one folder: each has a ``register(container)`` that ``codec_s2st.extension`` calls.
"""

from __future__ import annotations

from codec_s2st.codecs.codec import Codec as Codec
from codec_s2st.codecs.codec import load_codec as load_codec
