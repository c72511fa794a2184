"""python -m playground run | models | serve | ..."""

import sys

from playground.cli import main

sys.exit(main())
