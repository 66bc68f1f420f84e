"""One request under `/api`, matched and checked."""

from dataclasses import dataclass, field

from bff.api.paths import UpstreamPath
from bff.api.routes import Route
from bff.middleware.header_fields import HeaderFields


@dataclass(slots=True)
class Call:
    """One request, matched and checked."""

    method: str
    path: UpstreamPath
    query: bytes = field(repr=False)
    fields: HeaderFields = field(repr=False)
    route: Route
