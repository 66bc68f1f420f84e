"""The session context of an Emporix session: its site, currency, language and country [SC]."""

from collections.abc import Mapping
from typing import Any, Final

from bff.emporix.answers import judge, read
from bff.emporix.bearer_calls import BearerCalls
from bff.emporix.refusals import ContextRefused
from bff.emporix.token_answers import SessionOwner, session_owner
from bff.security.secret import Secret
from bff.session import CONTEXT_PARAMETERS, GuestContext
from bff.upstream.token_calls import TokenCallClient

_LONGEST_VALUE: Final = 100  # it is kept with the session


class EmporixSessionContext:
    """Reads and changes the context of the session that a token belongs to; raises what the auth calls raise.

    Args:
        client: sends the calls.
        tenant: the tenant, part of every path.
    """

    def __init__(self, client: TokenCallClient, *, tenant: str) -> None:
        self._service = BearerCalls(client, "session-context", tenant)

    async def owner(self, access: Secret) -> SessionOwner:
        """Ask which session a token belongs to, and which customer; the session follows from the token [SC].

        Raises:
            ContextRefused: the token is not known, or its session has no context yet.
        """
        answer = await self._service.call("context", "GET", "me/context", access)
        return session_owner(read(answer, ContextRefused))

    async def accepts(self, access: Secret) -> bool:
        """Ask whether the gateway accepts a token; a session without a context yet is a 404 of an accepted one [SC]."""
        answer = await self._service.call("context", "GET", "me/context", access)
        try:
            judge(answer, ContextRefused)
        except ContextRefused as refused:
            return not refused.bearer_refused
        return True

    async def shown(self, access: Secret) -> GuestContext:
        """Return the site, currency, language and country that the session has now; raises as `owner` does."""
        answer = await self._service.call("context", "GET", "me/context", access)
        current = read(answer, ContextRefused)
        return GuestContext(*(_value(current.get(name)) for name in CONTEXT_PARAMETERS))

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


def _value(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE else None


def _changes(current: Mapping[str, Any], wanted: GuestContext) -> dict[str, Any]:
    return {name: value for name, value in context_fields(wanted).items() if current.get(name) != value}


def _version(current: Mapping[str, Any]) -> Any:
    metadata = current.get("metadata")
    return metadata.get("version") if isinstance(metadata, Mapping) else None
