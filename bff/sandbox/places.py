"""Sites, countries and currencies."""

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.paging import localized, page
from bff.sandbox.routing import Call, Entry

Rows = tuple[dict[str, Any], ...]

_PAYMENT: Final = [
    {"id": "invoice", "name": "Invoice", "active": True},
    {"id": "prepayment", "name": "Prepayment", "active": True},
]

SITES: Final[Rows] = (
    {
        "code": "main",
        "name": "Acme Tea & Coffee",
        "active": True,
        "default": True,
        "defaultLanguage": "en",
        "languages": ["en", "de"],
        "currency": "EUR",
        "availableCurrencies": ["EUR", "USD"],
        "includesTax": True,
        "payment": _PAYMENT,
        "homeBase": {"address": {"country": "DE", "city": "Berlin", "zipCode": "10115"}},
        "shipToCountries": ["DE", "AT", "CH", "FR", "PL", "GB"],
    },
    {
        "code": "us",
        "name": "Acme Tea & Coffee US",
        "active": True,
        "default": False,
        "defaultLanguage": "en",
        "languages": ["en"],
        "currency": "USD",
        "availableCurrencies": ["USD"],
        "includesTax": True,
        "payment": _PAYMENT,
        "homeBase": {"address": {"country": "US", "city": "Portland", "zipCode": "97209"}},
        "shipToCountries": ["US"],
    },
)
SITE_CODES: Final = frozenset(row["code"] for row in SITES)
_NAMES: Final = {
    "AT": "Austria", "CH": "Switzerland", "DE": "Germany", "FR": "France",
    "GB": "United Kingdom", "PL": "Poland", "US": "United States",
}  # fmt: skip
COUNTRIES: Final[Rows] = tuple(
    {"code": code, "name": {"en": name}, "regions": [], "active": True} for code, name in _NAMES.items()
)
CURRENCIES: Final[Rows] = (
    {"code": "EUR", "name": {"en": "Euro", "de": "Euro"}},
    {"code": "USD", "name": {"en": "US Dollar", "de": "US-Dollar"}},
)


def _all(rows: Rows) -> Callable[[Call], Response]:
    def endpoint(call: Call) -> Response:
        return page(call, [_in_language(call, row) for row in rows])

    return endpoint


def _one(rows: Rows) -> Callable[[Call], Response]:
    by_code = {row["code"]: row for row in rows}

    def endpoint(call: Call) -> Response:
        row = by_code.get(call.path["code"])
        if row is None:
            raise answers.customer(404, "resource_not_found", "There is no such entry.")
        return JSONResponse(_in_language(call, row))

    return endpoint


def _in_language(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row; `Accept-Language` chooses one text where its name is in several languages."""
    if not isinstance(row["name"], dict):
        return row
    return {**row, "name": localized(call, row["name"])}


ROUTES: Final = (
    Entry("GET", "/site/{tenant}/sites", "any", _all(SITES)),
    Entry("GET", "/site/{tenant}/sites/{code}", "any", _one(SITES)),
    Entry("GET", "/country/{tenant}/countries", "any", _all(COUNTRIES)),
    Entry("GET", "/country/{tenant}/countries/{code}", "any", _one(COUNTRIES)),
    Entry("GET", "/country/{tenant}/regions", "any", _all(())),
    Entry("GET", "/currency/{tenant}/currencies", "any", _all(CURRENCIES)),
    Entry("GET", "/currency/{tenant}/currencies/{code}", "any", _one(CURRENCIES)),
)
