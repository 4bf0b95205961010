"""How many threads the exact matrix products may use."""

from __future__ import annotations

import numpy as np  # noqa: F401 (its BLAS must be loaded before the controller looks for it)
from threadpoolctl import ThreadpoolController

one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")
"""Decorator: BLAS uses one thread inside. Products of a batch are too small to share out, and threads that
wait for one another on a busy machine made a step 5 to 40 times slower; one thread also keeps timings
comparable."""
