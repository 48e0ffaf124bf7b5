"""The command line: ``nbrpc serve``, ``list``, ``ping``, ``inspect`` and ``demo``.

A traitlets application: every option is also a trait that a configuration file may set, under the
rules and in the folders of Jupyter (``nbrpc_config.py``; ``jupyter --paths`` lists the folders),
and ``--help-all`` lists them. Each subcommand has a module of its own, loaded when it is called.

A mistake of the user ends in one sentence on stderr and exit code 1, or 2 when the command line
itself was wrong; a traceback is shown only for code of theirs that failed.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the ``nbrpc`` command and give its exit code.

    Parameters
    ----------
    argv
        The arguments after the program's name; by default those of this process.
    """
    from nbrpc.app.command import Mistake, NbrpcApp

    app = NbrpcApp()
    try:
        app.initialize(sys.argv[1:] if argv is None else argv)
        app.start()
        sys.stdout.flush()
    except Mistake as exc:
        sys.stderr.write(f"nbrpc: {exc}\n")
        return exc.code
    except KeyboardInterrupt:
        return 130  # what a shell reports of a program that SIGINT ended
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; nothing more may be flushed into it.
        sys.stdout = None
        return 0
    finally:
        if app.subapp is not None:
            type(app.subapp).clear_instance()
    return 0
