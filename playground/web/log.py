"""What the log may say of a failure: what kind and where, never the words of it, which may be a visitor's."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from model.errors import places

log = logging.getLogger("inkblot")
# asyncio quotes an exception in the line itself; the others append its traceback, whose last line does.
LOGGERS = ("inkblot", "asyncio", "uvicorn", "uvicorn.error", "httpx", "transformers", "gradio")


class WithoutWords(logging.Filter):
    """Replace the traceback of a record by places in the code, and what asyncio quotes of an exception by its first line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; keep it."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if record.exc_info:
            record.exc_info, record.exc_text = None, places(error) if error else None
        if record.name == "asyncio":
            record.msg, record.args = record.getMessage().partition("\n")[0], ()
        return True


def quiet() -> None:
    """Keep what visitors typed out of every line that a failure logs."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, WithoutWords) for known in logger.filters):
            logger.addFilter(WithoutWords())


def say_no_words() -> None:
    """Do as `quiet` says, and keep it out of what Gradio prints."""
    from gradio import queueing, route_utils, routes

    quiet()
    silent: Any = SimpleNamespace(print_exc=_print_places)
    for module in (queueing, route_utils, routes):
        module.traceback = silent


def _print_places() -> None:
    """Stand in for `traceback.print_exc`, the only thing that Gradio's server asks of that module."""
    import sys

    error = sys.exception()
    log.error("Gradio failed: %s", places(error) if error else "unknown")
