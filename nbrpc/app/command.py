"""What all subcommands share: configuration, mistakes that end in a sentence, and printing."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from typing import Any, NoReturn

from traitlets import TraitError, Unicode, default
from traitlets.config.application import Application
from traitlets.config.loader import (
    ArgumentError,
    KVArgParseConfigLoader,
)

__all__ = [
    "WRONG_USAGE",
    "Command",
    "Mistake",
    "NbrpcApp",
    "check_discovery",
    "read_token",
    "say",
]

WRONG_USAGE = 2
"""The exit code for a command line that cannot be understood, as of most programs."""


TRAIT = re.compile(r"(The value of t|T)he '(?P<name>\w+)' trait of an? (?P<owner>\w+) instance")
"""How traitlets names what has a wrong value."""


class Mistake(Exception):
    """Something that the user can put right, as one sentence for them."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def say(text: str) -> None:
    """Print a line on stdout, at once: who reads it may be another program."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Loader(KVArgParseConfigLoader):
    """A command line loader that takes no unknown option for a harmless one."""

    def _create_parser(self) -> None:
        super()._create_parser()
        self.parser.error = self._refuse  # type: ignore[method-assign]

    def _refuse(self, message: str) -> NoReturn:
        if message.startswith("argument -") and message.endswith("expected one argument"):
            # argparse saw the trait, by which an alias was replaced, or an option that it made up.
            option = message.removeprefix("argument ").partition(":")[0].lstrip("-")
            words = {target: alias for alias, target in self.aliases.items()}
            if "." not in option:
                self._handle_unrecognized_alias(option)
            raise ArgumentError(f"--{words.get(option, option)} needs a value")
        if "ignored explicit argument" in message:
            option = message.removeprefix("argument ").partition(":")[0]
            raise ArgumentError(f"{option} takes no value")
        raise ArgumentError(message)

    def _handle_unrecognized_alias(self, arg: str) -> None:
        raise ArgumentError(f"there is no option {'--' if len(arg) > 1 else '-'}{arg}")


class Command(Application):
    """What all subcommands share: configuration files, and mistakes that end in a sentence."""

    examples = ""
    flags = {  # noqa: RUF012 - as in traitlets
        "debug": ({"Application": {"log_level": 10}}, "Log what is going on, to stderr."),
    }
    aliases = {  # noqa: RUF012 - as in traitlets
        "log-level": "Application.log_level",
        "config": "Command.config_file",
    }

    config_file = Unicode(help="A configuration file, instead of nbrpc_config.").tag(config=True)

    @default("version")
    def _default_version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("nbrpc")
        except PackageNotFoundError:
            return "unknown: this is a source tree that is not installed"

    arguments_wanted: tuple[int, str] = (0, "")
    """How many positional arguments there may be, and what they are."""

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> _Loader:
        return _Loader(argv, aliases, flags, classes=classes, log=self.log)

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line, then the configuration files; the command line wins.

        Raises
        ------
        Mistake
            One of them cannot be understood.
        """
        try:
            # traitlets reports mistakes through its log and ends the program; this one has its own.
            inspect.unwrap(Application.parse_command_line)(self, argv)
        except (TraitError, ArgumentError, argparse.ArgumentError) as exc:
            said = TRAIT.sub(self._option_of, str(exc)).removesuffix(".")
            raise Mistake(f"{said} ({self.shown_name} --help)", WRONG_USAGE) from exc
        if self.subapp is not None:
            return
        most, meaning = self.arguments_wanted
        if len(self.extra_args) > most:
            expected = meaning or "no arguments, only options"
            raise Mistake(f"{self.shown_name} takes {expected}", WRONG_USAGE)
        self._load_configuration()

    @property
    def shown_name(self) -> str:
        """The command as it is typed."""
        return self.name.replace("-", " ", 1)

    def _option_of(self, trait: re.Match[str]) -> str:
        """Give the option by which a trait is set."""
        words = {target.rpartition(".")[2]: alias for alias, target in self.aliases.items()}
        return f"--{words.get(trait['name'], '.'.join(trait.group('owner', 'name')))}"

    def _load_configuration(self) -> None:
        from pathlib import Path

        if self.config_file:
            chosen = Path(self.config_file).expanduser().resolve()
            if not chosen.is_file():
                raise Mistake(f"there is no configuration file {self.config_file}", WRONG_USAGE)
            files = [(chosen.name, [str(chosen.parent)])]
        else:
            folders = _configuration_folders()
            files = [("jupyter_config", folders), ("nbrpc_config", folders)]
        for name, folders in files:
            try:
                inspect.unwrap(Application.load_config_file)(self, name, path=folders)
            except TraitError as exc:
                raise Mistake(f"in the configuration: {exc}") from exc


def _configuration_folders() -> list[str]:
    try:
        from jupyter_core.paths import jupyter_config_path
    except ImportError:  # a server needs no Jupyter beside it, and was carried here without
        return []
    return jupyter_config_path()


class NbrpcApp(Command):
    """The ``nbrpc`` command, which only hands over to its subcommands."""

    name = "nbrpc"
    description = "Hold objects that live in another process."
    option_description = ""
    examples = "nbrpc serve nbrpc.demo:Bench --name bench\nnbrpc list\nnbrpc inspect bench"
    arguments_wanted = (1, "a command")

    subcommands = {  # noqa: RUF012 - as in traitlets
        "serve": ("nbrpc.app.serve.ServeApp", "Serve an object or a class."),
        "list": ("nbrpc.app.listing.ListApp", "List this user's running servers."),
        "ping": ("nbrpc.app.visit.PingApp", "Measure round trips to a server."),
        "inspect": ("nbrpc.app.visit.InspectApp", "Show what a server exposes."),
        "demo": (
            "nbrpc.app.demo.DemoApp",
            "Start a simulated bench and open notebooks that use it.",
        ),
    }

    def start(self) -> None:
        """Run the subcommand, or show which there are.

        Raises
        ------
        Mistake
            There is no such subcommand, or it ended in a mistake.
        """
        if self.subapp is not None:
            self.subapp.start()
        elif self.extra_args:
            known = ", ".join(self.subcommands)
            raise Mistake(
                f"there is no command {self.extra_args[0]!r}: the commands are {known}", WRONG_USAGE
            )
        else:
            self.print_help()


def check_discovery(option: str) -> None:
    """See that what an option needs to find servers on the network is installed.

    Raises
    ------
    Mistake
        It is not.
    """
    from nbrpc.reach.discovery import available

    if not available():
        raise Mistake(f"{option} needs zeroconf: pip install 'nbrpc[discovery]'")


def read_token(path: str) -> str:
    """Read a token from a file.

    Raises
    ------
    Mistake
        It cannot be read, or holds no token.
    """
    from pathlib import Path

    try:
        token = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not text"
        raise Mistake(f"the token file {path} cannot be read: {reason.lower()}") from exc
    if not token or len(token.split()) > 1:
        raise Mistake(f"the token file {path} holds no token: one word is expected in it")
    return token
