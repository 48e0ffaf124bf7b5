"""``nbrpc-classic`` and ``nbrpc-registry``: RPyC's command lines, under our names.

They take the options of ``rpyc_classic`` and ``rpyc_registry``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from nbrpc.compat.library import setup_logger
from nbrpc.options import TLS

__all__ = ["main_classic", "main_registry", "run_classic", "run_registry"]

MODES = ("threaded", "forking", "stdio", "oneshot")
TRUE = frozenset({"1", "true", "t", "yes", "y"})


def _classic_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbrpc-classic",
        description="Serve this Python: clients may run any code. Programs of the same user on "
        "this machine need no token; the URL that is printed has it for others.",
    )
    parser.add_argument(
        "-m", "--mode", default="threaded", type=str.lower, choices=MODES, help="how to serve"
    )
    parser.add_argument("-p", "--port", type=int, help="the port (18812)")
    parser.add_argument("--host", help="the address to listen on (127.0.0.1, ::1 with --ipv6)")
    parser.add_argument("--ipv6", action="store_true", help="listen on IPv6")
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine, unencrypted"
    )
    parser.add_argument(
        "--rpyc",
        action="store_true",
        help="let clients of RPyC itself in as well; they have no token, so anybody on this "
        "machine may then run code",
    )
    parser.add_argument("--logfile", help="log to this file instead of stderr")
    parser.add_argument("-q", "--quiet", action="store_true", help="log errors only")
    for name, meaning in (
        ("keyfile", "the server's private key"),
        ("certfile", "its certificate"),
        ("cafile", "the certificates that vouch for clients, which must then show theirs"),
    ):
        parser.add_argument(f"--ssl-{name}", help=f"TLS: a file with {meaning}, as PEM")
    parser.add_argument(
        "--register", action="store_true", help="tell a registry where the server is"
    )
    parser.add_argument(
        "--registry-type", default="UDP", type=str.upper, choices=("UDP", "TCP"), help="its kind"
    )
    parser.add_argument("--registry-port", type=int, default=18811, help="its port")
    parser.add_argument("--registry-host", help="its address (the whole network for UDP)")
    return parser


def run_classic(argv: Sequence[str] | None = None) -> int:
    """Run ``nbrpc-classic``, and give its exit code."""
    parser = _classic_parser()
    options = parser.parse_args(argv)
    if (options.ssl_keyfile or options.ssl_cafile) and not options.ssl_certfile:
        parser.error("TLS needs --ssl-certfile, and --ssl-keyfile if the key is not in that file")
    if options.register and options.registry_type == "TCP" and not options.registry_host:
        parser.error("--registry-type TCP needs --registry-host")
    setup_logger(options.quiet, options.logfile)
    try:
        if options.mode == "stdio":
            from nbrpc.compat.classic import connect_stdpipes

            connect_stdpipes().serve_threaded()
        else:
            _serve(options)
    except KeyboardInterrupt:
        pass  # that is how it is ended
    except (OSError, ValueError) as error:
        sys.stderr.write(f"nbrpc-classic: {error}\n")
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    from nbrpc.compat import servers
    from nbrpc.compat.service import SlaveService

    cls: Any = {
        "threaded": servers.ThreadedServer,
        "forking": servers.ForkingServer,
        "oneshot": servers.OneShotServer,
    }[options.mode]
    default = 0 if options.mode == "oneshot" else 18812
    server = cls(
        SlaveService,
        hostname=options.host,
        ipv6=options.ipv6,
        port=default if options.port is None else options.port,
        registrar=_registrar(options),
        insecure=options.insecure,
        rpyc=options.rpyc,
        tls=_tls(options),
    )
    with server:
        if options.mode == "oneshot":  # what starts it reads where it is
            _say(f"rpyc-oneshot\n{server.host}\t{server.port}")
        else:
            _say(server.url_with_token)
        server.start()


def _tls(options: argparse.Namespace) -> TLS | None:
    if not options.ssl_certfile:
        return None
    return TLS(options.ssl_certfile, options.ssl_keyfile, options.ssl_cafile)


def _registrar(options: argparse.Namespace) -> Any:
    from nbrpc.compat import discovery

    if not options.register:
        return None
    if options.registry_type == "TCP":
        return discovery.TCPRegistryClient(options.registry_host, options.registry_port)
    host = options.registry_host or "255.255.255.255"
    return discovery.UDPRegistryClient(host, options.registry_port)


def _registry_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbrpc-registry",
        description="Remember which services are where, and tell who asks. There is no "
        "authentication: it listens on this machine only, unless told otherwise.",
    )
    parser.add_argument(
        "-m", "--mode", default="UDP", type=str.upper, choices=("UDP", "TCP"), help="its kind"
    )
    parser.add_argument("--host", help="the address to listen on (127.0.0.1, ::1 with --ipv6)")
    parser.add_argument("-6", "--ipv6", action="store_true", help="listen on IPv6")
    parser.add_argument("-p", "--port", type=int, default=18811, help="the port")
    parser.add_argument("--logfile", help="log to this file instead of stderr")
    # RPyC's option of this name wants a value; ours takes one and needs none.
    parser.add_argument("-q", "--quiet", nargs="?", const="true", help="log errors only")
    parser.add_argument(
        "-t", "--timeout", type=float, default=240.0, help="seconds until a service is forgotten"
    )
    parser.add_argument("-l", "--listing", default="false", help="whether to tell all names")
    return parser


def run_registry(argv: Sequence[str] | None = None) -> int:
    """Run ``nbrpc-registry``, and give its exit code."""
    from nbrpc.compat.registry import RegistryServer, TCPRegistryServer, UDPRegistryServer

    options = _registry_parser().parse_args(argv)
    logger = setup_logger(options.quiet is not None, options.logfile)
    kind: Any = TCPRegistryServer if options.mode == "TCP" else UDPRegistryServer
    try:
        server: RegistryServer = kind(
            host=options.host or ("::1" if options.ipv6 else "127.0.0.1"),
            port=options.port,
            pruning_timeout=options.timeout,
            logger=logger,
            allow_listing=options.listing.lower() in TRUE,
        )
    except OSError as error:
        sys.stderr.write(f"nbrpc-registry: {error}\n")
        return 1
    server.start()
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main_classic() -> None:
    """Run ``nbrpc-classic`` as a program."""
    raise SystemExit(run_classic())


def main_registry() -> None:
    """Run ``nbrpc-registry`` as a program."""
    raise SystemExit(run_registry())


if __name__ == "__main__":
    main_classic()
