"""The magics that show live views: ``%rpc_explore``, ``%rpc_results``."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic_arguments import magic_arguments
from IPython.display import display

from nbrpc.notebook.lines import evaluated, line_magic, parsed, plainly
from nbrpc.notebook.results import Results
from nbrpc.objects.proxy import is_proxy
from nbrpc.widgets.explorer import Explorer

__all__ = ["ViewMagics"]


@magics_class
class ViewMagics(Magics):
    """Live views of what is remote."""

    def __init__(self, shell: Any, results: Results) -> None:
        super().__init__(shell)
        self._shell = shell
        self._results = results

    @line_magic
    @plainly
    def rpc_explore(self, line: str) -> None:
        """Show an explorer of a remote object: its members and items, page by page.

        %rpc_explore EXPR
        """
        expression = line.strip()
        if not expression:
            raise UsageError("%rpc_explore needs a remote object, such as %rpc_explore conn.root")
        value = evaluated(self._shell, expression)
        if not is_proxy(value):
            raise UsageError(
                f"{expression} is a local {type(value).__name__}: %rpc_explore shows remote "
                "objects, such as conn.root"
            )
        display(Explorer(value, label=expression))

    @line_magic
    @plainly
    @magic_arguments()
    def rpc_results(self, line: str) -> None:
        """Show a live board of the AsyncResults of this notebook, pending and finished."""
        parsed(self.rpc_results, line)
        display(self._results.board())
