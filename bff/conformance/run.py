"""`bff conformance`: runs every check, in order, against a deployment."""

from argparse import Namespace
from pathlib import Path
from typing import Final

from bff.conformance import (
    carriers,
    cookies,
    cors,
    csrf,
    drop_in,
    fields,
    framing,
    garbage,
    health,
    leaks,
    login,
    paths,
    problems,
    routes,
    sso,
    trust,
)
from bff.conformance.check import Check, Row
from bff.conformance.probe import Options, Probe
from bff.conformance.report import exit_code, machine_readable, table
from bff.conformance.wire import BadArgument, NoResponse, Target

__all__ = ["CHECKS", "BadArgument", "conformance", "options_of", "password_in", "rows"]

CHECKS: Final[tuple[Check, ...]] = (
    *cookies.CHECKS,
    *csrf.CHECKS,
    *cors.CHECKS,
    *carriers.CHECKS,
    *garbage.CHECKS,
    *problems.CHECKS,
    *paths.CHECKS,
    *routes.CHECKS,
    *trust.CHECKS,
    *framing.CHECKS,
    *health.CHECKS,
    *login.CHECKS,
    *sso.CHECKS,
    *drop_in.CHECKS,
    *fields.CHECKS,  # the last two groups check the responses that all other checks have received
    *leaks.CHECKS,
)


async def conformance(url: str, options: Options, *, as_json: bool = False) -> tuple[str, int]:
    """Check a deployment; return the report and the exit code.

    Raises:
        BadArgument: the URL is not valid, or no server responds.
    """
    target = Target.parse(url)
    found = await rows(target, options)
    render = machine_readable if as_json else table
    return render(target.origin, found), exit_code(found)


async def rows(target: Target, options: Options) -> list[Row]:
    """Run every check, then end the sessions that were started.

    Raises:
        BadArgument: no server responds.
    """
    probe = Probe(target, options)
    try:
        await probe.request("GET", "/livez")
    except NoResponse as error:
        raise BadArgument(f"{target.origin}: {error}") from None
    try:
        return [await one.row(probe) for one in CHECKS]
    finally:
        await probe.end_sessions()


def options_of(arguments: Namespace) -> Options:
    """Return the options that the arguments of the command give.

    Raises:
        BadArgument: only one of customer and password is given, or the password cannot be read.
    """
    if (arguments.customer is None) != (arguments.password_file is None):
        raise BadArgument("--customer and --password-file must be used together")
    password = "" if arguments.password_file is None else password_in(arguments.password_file)
    origin = None if arguments.allowed_origin is None else Target.parse(arguments.allowed_origin).origin
    return Options(arguments.tenant, origin, arguments.sso, arguments.customer, password)


def password_in(file: Path) -> str:
    """Return the first line of a file.

    Raises:
        BadArgument: the file cannot be read, or its first line is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BadArgument("the password file cannot be read as UTF-8 text") from None
    if not lines or not lines[0]:
        raise BadArgument("the password file is empty")
    return lines[0]
