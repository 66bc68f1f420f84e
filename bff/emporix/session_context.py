"""The session context of an Emporix session: its site, currency, language and country [SC]."""

from collections.abc import Mapping
from typing import Any

from bff.emporix.answers import judge, read
from bff.emporix.bearer_calls import BearerCalls
from bff.emporix.refusals import ContextRefused
from bff.security.secret import Secret
from bff.session import CONTEXT_PARAMETERS, GuestContext
from bff.upstream.token_calls import TokenCallClient


class EmporixSessionContext:
    """Changes the context of the session that a token belongs to; raises what the auth calls raise.

    Args:
        client: sends the calls.
        tenant: the tenant, part of every path.
    """

    def __init__(self, client: TokenCallClient, *, tenant: str) -> None:
        self._service = BearerCalls(client, "session-context", tenant)

    async def change(self, access: Secret, wanted: GuestContext) -> None:
        """Change what differs; the version in the metadata is required, as an optimistic lock [SC].

        Raises:
            ContextRefused: see its attributes.
        """
        current = read(await self._service.call("context", "GET", "me/context", access), ContextRefused)
        changes = _changes(current, wanted)
        if not changes:
            return
        body = changes | {"metadata": {"version": _version(current)}}
        judge(
            await self._service.call("context change", "PATCH", "me/context", access, json=body),
            ContextRefused,
        )


def context_fields(context: GuestContext) -> dict[str, str]:
    """Return what is set of a context, under Emporix' names."""
    values = (context.site_code, context.currency, context.language, context.target_location)
    named = zip(CONTEXT_PARAMETERS, values, strict=True)
    return {name: value for name, value in named if value is not None}


def _changes(current: Mapping[str, Any], wanted: GuestContext) -> dict[str, Any]:
    return {name: value for name, value in context_fields(wanted).items() if current.get(name) != value}


def _version(current: Mapping[str, Any]) -> Any:
    metadata = current.get("metadata")
    return metadata.get("version") if isinstance(metadata, Mapping) else None
