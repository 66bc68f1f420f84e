"""The command line: `bff serve | demo | sandbox | check | keys | sessions | conformance`.

What only some commands need is imported by them. The supervisor of several workers is one that does without the proxy
itself, which would double its memory.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from bff import __version__
from bff.config.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from bff.config.settings import ConfigurationError, Settings, load_settings
from bff.config.sites import site_warnings
from bff.errors import BffError
from bff.security.secret import Secret
from bff.server.activation import handed_over, public_listener
from bff.server.connections import ConnectionLimit, connections_within, queue_within, raised_descriptor_limit
from bff.server.http1 import Http1Connection
from bff.server.listening import listening
from bff.server.process import ProxyServer, configured
from bff.server.workers import supervise
from bff.telemetry.logs import configure_logging
from bff.telemetry.process import dated_kid

_MISTAKE = 2
_FAILED = 3
_WHOSE = "the customer's e-mail address, or customer number"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 for a wrong configuration, 3 for a failed start.

    `conformance` returns 1 where a check failed.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigurationError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return _MISTAKE
    except (EmbeddedRedisError, OSError) as error:
        print(f"bff: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bff", description="Backend-for-frontend auth proxy for Emporix.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the proxy")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8080)
    serve.add_argument("--workers", type=_count, default=1)
    serve.set_defaults(run=_serve)
    demo = commands.add_parser("demo", help="run everything on this machine, nothing configured")
    demo.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a container")
    demo.add_argument("--port", type=_port, default=8080)
    demo.add_argument("--public-port", type=_port, metavar="PORT", help="where a container publishes another")
    demo.set_defaults(run=_demo)
    sandbox = commands.add_parser("sandbox", help="run the sandbox upstream alone")
    sandbox.add_argument("--port", type=_port, default=8090)
    sandbox.add_argument("--control", action="store_true", help="open the control plane for knobs and faults")
    sandbox.set_defaults(run=_sandbox)
    check = commands.add_parser("check", help="read the configuration and say every mistake")
    check.add_argument("--live", action="store_true", help="connect to Redis and to the upstream, too")
    check.set_defaults(run=_check)
    keys = commands.add_parser("keys", help="keys for BFF_KEYS").add_subparsers(
        required=True, metavar="COMMAND"
    )
    keys.add_parser("new", help="print a fresh kid:key").set_defaults(run=_new_key)
    sessions = commands.add_parser("sessions", help="list or end customers' sessions")
    actions = sessions.add_subparsers(required=True, metavar="COMMAND")
    listing = actions.add_parser("list", help="list a customer's sessions")
    listing.add_argument("--customer", required=True, metavar="MAIL", help=_WHOSE)
    listing.set_defaults(run=_list_sessions)
    ending = actions.add_parser("end", help="end a customer's sessions, or everybody's")
    whose = ending.add_mutually_exclusive_group(required=True)
    whose.add_argument("--customer", metavar="MAIL", help=_WHOSE)
    whose.add_argument("--all", action="store_true")
    ending.set_defaults(run=_end_sessions)
    conformance = commands.add_parser("conformance", help="check a running deployment against the checklists")
    conformance.add_argument("url", metavar="URL", help="the public origin, such as https://shop.example")
    conformance.add_argument("--customer", metavar="MAIL", help="log this customer in too")
    conformance.add_argument("--password-file", type=Path, metavar="FILE")
    conformance.add_argument("--tenant", metavar="T", help="the Emporix tenant, for calls that get through")
    conformance.add_argument("--allowed-origin", metavar="ORIGIN", help="one of BFF_ALLOWED_ORIGINS")
    conformance.add_argument("--sso", metavar="NAME", help="an identity provider's name in BFF_SSO")
    conformance.add_argument("--json", action="store_true", help="print JSON instead of a table")
    conformance.set_defaults(run=_conformance)
    return parser


def _list_sessions(arguments: argparse.Namespace) -> int:
    from bff.cli.sessions import list_sessions  # noqa: PLC0415 - the store is not for every command

    with _operating() as settings:
        return asyncio.run(list_sessions(settings, arguments.customer))


def _end_sessions(arguments: argparse.Namespace) -> int:
    from bff.cli.sessions import end_sessions  # noqa: PLC0415 - the store is not for every command

    configure_logging()
    with _operating() as settings:
        return asyncio.run(end_sessions(settings, None if arguments.all else arguments.customer))


@contextlib.contextmanager
def _operating() -> Iterator[Settings]:
    """Give the settings with a Redis that answers; an embedded one that is not running runs for the while."""
    settings = _configuration(os.environ)
    with _redis(settings) as environ:
        if environ:
            settings = replace(settings, redis_url=Secret(environ["BFF_REDIS_URL"]))
        try:
            yield settings
        except BffError as error:
            raise OSError(error.title) from None


def _serve(arguments: argparse.Namespace) -> int:
    configure_logging()
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # until the server takes it; what it asks for is read before that
    settings = _configuration(os.environ)
    with (
        _redis(settings) as environ,
        public_listener(os.environ, arguments.host, arguments.port) as listener,
        _admin_listener(settings.admin_host, settings.admin_port) as admin,
    ):
        os.environ |= environ
        os.environ.pop("BFF_REDIS_URL_FILE", None) if environ else None
        descriptors = raised_descriptor_limit()
        config = configured(
            "bff.app:from_environment",
            factory=True,
            workers=arguments.workers,
            drain_seconds=settings.drain_seconds,
            grace_seconds=settings.grace_seconds,
            secure=settings.secure,
            handed_over=handed_over(os.environ),
            admin=admin,
            backlog=queue_within(descriptors),
            connections=ConnectionLimit(
                connections_within(descriptors), settings.client_connections, settings.trusted_proxies
            ),
            reloads=True,
        )
        if arguments.workers > 1:
            with _metrics_folder() as folder:
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
                return 0 if supervise(config, listener) else _FAILED
        server = ProxyServer(config)
        server.run(sockets=[listener])
    return 0 if server.started else _FAILED


def _admin_listener(host: str, port: int | None) -> contextlib.AbstractContextManager[socket.socket | None]:
    return contextlib.nullcontext() if port is None else listening(host, port, setting="BFF_ADMIN_PORT")


def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder in which each worker counts, so that any of them can tell of all.

    Raises:
        OSError: there is no place for it.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="bff-metrics-")
    except OSError as error:
        raise OSError(
            f"several workers need a temporary directory that can be written, for their metrics ({error.strerror}): "
            "mount one at /tmp or name one in TMPDIR, or use --workers 1"
        ) from None


def _check(arguments: argparse.Namespace) -> int:
    settings = _configuration(os.environ)
    warnings = list(site_warnings(settings))
    if arguments.live:
        with _operating() as running:
            warnings += asyncio.run(_checked_live(running))
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    print("The configuration is complete" + (", and Redis and Emporix answer." if arguments.live else "."))
    return 0


async def _checked_live(settings: Settings) -> list[str]:
    """Connect; return warnings.

    Raises:
        ConfigurationError: every mistake that connecting shows.
    """
    from bff.cli import live_check  # noqa: PLC0415 - nothing else needs it

    if found := await live_check.mistakes(settings):
        raise ConfigurationError(tuple(found))
    return await live_check.warnings(settings)


def _configuration(environ: Mapping[str, str]) -> Settings:
    """Load the settings and what they name; every mistake at once."""
    settings = load_settings(environ)
    if settings.routes_file is None:
        return settings  # what is built in has no mistakes
    from bff.api.route_file import RouteTableError, read_route_table  # noqa: PLC0415 - there is nothing to read else

    try:
        read_route_table(settings.tenant, settings.routes_file, drop_in=settings.drop_in)
    except RouteTableError as error:
        raise ConfigurationError(tuple(f"BFF_ROUTES_FILE: {m}" for m in error.mistakes)) from None
    return settings


def _new_key(_arguments: argparse.Namespace) -> int:
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    print(f"{dated_kid(secrets.token_hex(3))}:{key}")
    return 0


@contextlib.contextmanager
def _redis(settings: Settings) -> Iterator[dict[str, str]]:
    """Run the embedded Redis if that is what is configured; yield what the workers' environment needs of it."""
    directory = settings.embedded_directory
    if directory is None:
        yield {}
        return
    with EmbeddedRedis.start(directory) as redis:
        if redis.warning:
            print(f"WARNING: {redis.warning}", file=sys.stderr)
        yield {"BFF_REDIS_URL": redis.url}


class _UpstreamConnection(Http1Connection):
    """Takes all that a proxy sends on: as many fields as the proxy takes, and those that it adds."""

    most_fields = 2 * Http1Connection.most_fields


def _sandbox(arguments: argparse.Namespace) -> int:
    from bff.sandbox.app import create_sandbox  # noqa: PLC0415 - nothing else needs the sandbox

    configure_logging()
    with listening("127.0.0.1", arguments.port) as listener:
        app = create_sandbox(control=arguments.control, log=_line(sys.stdout))
        print(
            f"The sandbox upstream answers on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr
        )
        ProxyServer(configured(app, http=_UpstreamConnection)).run(sockets=[listener])
    return 0


def _conformance(arguments: argparse.Namespace) -> int:
    from bff.conformance import run  # noqa: PLC0415 - nothing else needs the checks

    try:
        report, code = asyncio.run(
            run.conformance(arguments.url, run.options_of(arguments), as_json=arguments.json)
        )
    except run.BadArgument as error:
        print(f"bff: {error}", file=sys.stderr)
        return _MISTAKE
    print(report, end="")
    return code


def _demo(arguments: argparse.Namespace) -> int:
    from bff.cli.demo import run_demo  # noqa: PLC0415 - nothing else needs the sandbox

    return asyncio.run(run_demo(arguments.host, arguments.port, arguments.public_port))


def _line(stream: TextIO) -> Callable[[dict[str, Any]], None]:
    def log(record: dict[str, Any]) -> None:
        print(json.dumps(record), file=stream, flush=True)

    return log


def _port(text: str) -> int:
    return _bounded(text, 0, 65_535)


def _count(text: str) -> int:
    return _bounded(text, 1, 1024)


def _bounded(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}")
    return int(text)
