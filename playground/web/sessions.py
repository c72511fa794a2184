"""What Gradio keeps of each visitor: the values of its stateful components, and nothing of what the page is made of."""

from __future__ import annotations

from copy import copy
from typing import Any

from gradio import state_holder


class Session(state_holder.SessionState):
    """A visitor's state without the copy of the whole page's configuration, and of every value sent, that Gradio holds for deep links."""

    def __init__(self, blocks: Any):
        self._page = self.blocks_config = blocks.default_config  # shared until something of it changes for this visitor
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: Any) -> None:
        if self.blocks_config is self._page and key not in self.state_data:
            self.blocks_config = copy(self._page)
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None: ...

    def _update_value_in_config(self, key: int, value: Any) -> None: ...


def keep_little() -> None:
    """Have Gradio make such sessions."""
    state_holder.SessionState = Session
