"""Shipping zones and methods, delivery windows, and the site that delivers to an address."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.baskets import readable_cart
from bff.sandbox.paging import localized, page
from bff.sandbox.places import SITES
from bff.sandbox.pricing import TAX_CLASS
from bff.sandbox.routing import Call, Entry

_ZONE: Final = "domestic"
_METHODS: Final = (
    ("standard", {"en": "Standard", "de": "Standard"}, 4.20),
    ("express", {"en": "Express", "de": "Express"}, 10.50),
)
_DAYS: Final = 3


def zones(call: Call) -> Response:
    """Return the only zone of a site; `expand=methods` adds its methods, `expand=methods,fees` their fees too."""
    return page(call, [_zone(call, _site(call))])


def zone(call: Call) -> Response:
    return JSONResponse(_known_zone(call))


def methods(call: Call) -> Response:
    _known_zone(call)
    return page(call, [_method(call, _site(call), row) for row in _METHODS])


def method(call: Call) -> Response:
    _known_zone(call)
    found = next((row for row in _METHODS if row[0] == call.path["methodId"]), None)
    if found is None:
        raise answers.customer(404, "resource_not_found", "There is no such method.")
    return JSONResponse(_method(call, _site(call), found))


def groups(call: Call) -> Response:
    _site(call)
    return page(call, [])


def quote(call: Call) -> Response:
    """Return what the cheapest method costs."""
    site = _site(call)
    return JSONResponse({"currency": site["currency"], "amount": _METHODS[0][2]})


def find_site(call: Call) -> Response:
    """Return the sites that deliver to a postal code, with the next windows of every method."""
    body = call.fields()
    if not body.get("postalCode"):
        raise answers.bad_request("The address is not valid.", postalCode="must not be empty")
    country = body.get("country")
    found = [one for one in SITES if country is None or country in one["shipToCountries"]]
    return JSONResponse([_delivering(call, one) for one in found])


def windows(call: Call) -> Response:
    readable_cart(call)
    return JSONResponse(_windows(call))


def check_window(call: Call) -> Response:
    """Say whether a window is one of those that are offered."""
    wanted = call.fields().get("deliveryWindowId")
    if wanted not in {one["id"] for one in _windows(call)}:
        raise answers.bad_request("The delivery window is not valid.", deliveryWindowId="is not known")
    return Response(status_code=200)


def _delivering(call: Call, site: dict[str, Any]) -> dict[str, Any]:
    inside = {**_zone(call, site), "actualDeliveryWindows": _windows(call)}
    return {"id": site["code"], "defaultZoneId": _ZONE, "zones": [inside]}


def _windows(call: Call) -> list[dict[str, Any]]:
    today = datetime.fromtimestamp(call.world.now(), UTC).date()
    days = [today + timedelta(days=number) for number in range(1, _DAYS + 1)]
    return [
        {
            "id": f"{key}-{day.isoformat()}",
            "deliveryDate": f"{day.isoformat()}T00:00:00.000Z",
            "deliveryTimeRange": {"startTime": "09:00", "endTime": "17:00"},
            "deliveryMethod": key,
            "zoneId": _ZONE,
            "slotId": "day",
            "cutOffTime": f"{(day - timedelta(days=1)).isoformat()}T18:00:00.000Z",
        }
        for key, _, _ in _METHODS
        for day in days
    ]


def _site(call: Call) -> dict[str, Any]:
    found = next((one for one in SITES if one["code"] == call.path["site"]), None)
    if found is None:
        raise answers.customer(404, "resource_not_found", "There is no such site.")
    return found


def _known_zone(call: Call) -> dict[str, Any]:
    site = _site(call)
    if call.path["zoneId"] != _ZONE:
        raise answers.customer(404, "resource_not_found", "There is no such zone.")
    return _zone(call, site)


def _zone(call: Call, site: dict[str, Any]) -> dict[str, Any]:
    inside = {"methods": [_method(call, site, row) for row in _METHODS]}
    return {
        "id": _ZONE,
        "default": True,
        "name": localized(call, {"en": "At home", "de": "Nach Hause"}),
        "shipTo": [{"country": code} for code in site["shipToCountries"]],
        **(inside if "methods" in call.query.get("expand", "") else {}),
    }


def _method(call: Call, site: dict[str, Any], row: tuple[str, dict[str, str], float]) -> dict[str, Any]:
    key, name, amount = row
    currency = site["currency"]
    fee = {
        "cost": {"currency": currency, "amount": amount},
        "minOrderValue": {"currency": currency, "amount": 0},
    }
    return {
        "id": key,
        "name": localized(call, name),
        "active": True,
        "fees": [fee],
        "shippingTaxCode": TAX_CLASS,
    }


_BASE: Final = "/shipping/{tenant}"
ROUTES: Final = (
    Entry("POST", f"{_BASE}/findSite", "any", find_site),
    Entry("GET", f"{_BASE}/actualDeliveryWindows/{{cartId}}", "any", windows),
    Entry("GET", f"{_BASE}/areaDeliveryTimes/{{deliveryAreaId}}/{{cartId}}", "any", windows),
    Entry("POST", f"{_BASE}/deliveryWindowValidation", "any", check_window),
    Entry("GET", f"{_BASE}/{{site}}/zones", "any", zones),
    Entry("GET", f"{_BASE}/{{site}}/zones/{{zoneId}}", "any", zone),
    Entry("GET", f"{_BASE}/{{site}}/zones/{{zoneId}}/methods", "any", methods),
    Entry("GET", f"{_BASE}/{{site}}/zones/{{zoneId}}/methods/{{methodId}}", "any", method),
    Entry("GET", f"{_BASE}/{{site}}/groups", "any", groups),
    Entry("POST", f"{_BASE}/{{site}}/quote", "any", quote),
    Entry("POST", f"{_BASE}/{{site}}/quote/minimum", "any", quote),
    Entry("POST", f"{_BASE}/{{site}}/quote/slot", "any", quote),
)
