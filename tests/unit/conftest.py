"""Property tests do not fail for being slow on a busy machine; in CI they repeat exactly."""

import os

from hypothesis import settings

settings.register_profile("inkblot", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("inkblot")
