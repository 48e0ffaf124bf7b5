"""``nbrpc demo``."""

from __future__ import annotations

from traitlets import Bool

from nbrpc.app.command import Command
from nbrpc.app.quickstart import run_headless, run_lab

__all__ = ["DemoApp"]


class DemoApp(Command):
    """``nbrpc demo``: the simulated bench, and the notebooks that use it."""

    name = "nbrpc-demo"
    description = """Start the simulated bench and open JupyterLab on the quickstart notebook.

    The notebooks are copied to the current folder where they are missing. Arguments after -- go to
    JupyterLab."""
    examples = "nbrpc demo\nnbrpc demo --headless\nnbrpc demo -- --no-browser"

    headless = Bool(
        False, help="Only execute the quickstart, in a temporary folder, and print its cells."
    ).tag(config=True)

    flags = {  # noqa: RUF012 - as in traitlets
        **Command.flags,
        "headless": ({"DemoApp": {"headless": True}}, "Only execute the notebook and print it."),
    }
    arguments_wanted = (100, "arguments for JupyterLab after --")

    def start(self) -> None:
        """Run the demonstration; the exit code says whether the notebook ran through.

        Raises
        ------
        Mistake
            Something that it needs is missing, or the notebook failed.
        """
        if self.headless:
            run_headless()
        else:
            run_lab(self.extra_args)
