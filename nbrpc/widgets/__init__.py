"""Live widgets: what a notebook shows of results, events, objects and connections.

They compose with the layouts of ipywidgets and run in JupyterLab, Notebook, VS Code and voila. How
they stay live is told in `live`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbrpc.widgets.connection_card import ConnectionCard as ConnectionCard
    from nbrpc.widgets.event_feed import EventFeed as EventFeed
    from nbrpc.widgets.explorer import Explorer as Explorer
    from nbrpc.widgets.live_plot import LivePlot as LivePlot
    from nbrpc.widgets.result_board import ResultBoard as ResultBoard
    from nbrpc.widgets.result_view import ResultView as ResultView
    from nbrpc.widgets.subscription_table import SubscriptionTable as SubscriptionTable
    from nbrpc.widgets.value_tile import ValueTile as ValueTile

HOMES: dict[str, str] = {
    "ConnectionCard": "connection_card",
    "EventFeed": "event_feed",
    "Explorer": "explorer",
    "LivePlot": "live_plot",
    "ResultBoard": "result_board",
    "ResultView": "result_view",
    "SubscriptionTable": "subscription_table",
    "ValueTile": "value_tile",
}
"""Where each widget lives: what is not used is not loaded."""

__all__ = [*sorted(HOMES)]  # noqa: PLE0604 - made of literals


def __getattr__(name: str) -> Any:
    """Load a widget when it is first used."""
    if name not in HOMES:
        raise AttributeError(f"module 'nbrpc.widgets' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"nbrpc.widgets.{HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
