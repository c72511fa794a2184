"""Property tests do not fail for being slow on a busy machine; in CI they repeat exactly. Small networks compute on one thread."""

import os

from hypothesis import settings

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # read when torch loads: two threads that share busy cores mostly wait for each other
settings.register_profile("inkblot", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("inkblot")
