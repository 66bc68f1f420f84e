"""Reading query parameters strictly."""

from starlette.requests import Request

from bff.errors import InvalidRequest


def single(request: Request, name: str) -> str | None:
    """Return a query parameter that may be given once; None where it is absent.

    Raises:
        InvalidRequest: it is given twice.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(f"'{name}' is given twice")
    return values[0] if values else None
