"""Prices by session context, with their tiers and tax, and the tax calculation."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.catalogue import DOZEN, PRODUCTS, TAX_RATE, Product
from bff.sandbox.routing import Call, Entry, mapping

MATCH_CAP: Final = 50
TAX_CLASS: Final = "STANDARD"
_ONE, _DOZEN = "tier-1", "tier-2"
_MODEL: Final = {
    "id": "piece",
    "name": {"en": "By the piece", "de": "Stückpreis"},
    "includesTax": True,
    "includesMarkup": False,
    "isDefault": True,
    "measurementUnit": {"quantity": 1, "unitCode": "pc"},
    "tierDefinition": {
        "tierType": "TIERED",
        "tiers": [
            {"id": _ONE, "minQuantity": {"quantity": 0, "unitCode": "pc"}},
            {"id": _DOZEN, "minQuantity": {"quantity": DOZEN, "unitCode": "pc"}},
        ],
    },
}


def match_prices(call: Call) -> Response:
    """Return prices by the session context; the product is in `itemId`, and more than 50 items are refused."""
    wanted = call.fields().get("items")
    if not isinstance(wanted, list) or not wanted:
        raise answers.price(400, "Bad Request", "items must not be empty")
    if len(wanted) > MATCH_CAP:
        raise answers.price(400, "Bad Request", "Too many items", f"at most {MATCH_CAP}")
    context = call.session.context
    currency = str(call.fields().get("targetCurrency") or (context.currency if context else "EUR"))
    site = context.site_code if context else "main"
    return JSONResponse([row for one in wanted if (row := _price(one, currency, site))])


def calculate_tax(call: Call) -> Response:
    """Return the net and the gross price of a price; a country other than Germany and the US has the same rate."""
    body = call.fields()
    wanted = mapping(body.get("input"))
    price = wanted.get("price")
    country = mapping(wanted.get("targetLocation")).get("countryCode")
    if not isinstance(price, int | float) or not country or not wanted.get("targetTaxClass"):
        raise answers.price(400, "Bad Request", "targetLocation, targetTaxClass and price are required")
    rate = 0.0 if country == "US" else TAX_RATE
    values = taxed(price, rate) if wanted.get("includesTax") is True else _untaxed(price, rate)
    output = {
        "netPrice": values["netValue"],
        "grossPrice": values["grossValue"],
        "sourceTaxRate": 0.0,
        "targetTaxRate": rate,
    }
    return JSONResponse({"commandUuid": body.get("commandUuid"), "input": wanted, "output": output})


def taxed(gross: float, rate: float = TAX_RATE) -> dict[str, float]:
    """Return net, gross and tax of a gross price."""
    net = round(gross / (1 + rate / 100), 2)
    return {"netValue": net, "grossValue": round(gross, 2), "taxValue": round(gross - net, 2)}


def _untaxed(net: float, rate: float) -> dict[str, float]:
    return taxed(net * (1 + rate / 100), rate)


def _price(wanted: Any, currency: str, site: str) -> dict[str, Any] | None:
    item = wanted.get("itemId") if isinstance(wanted, dict) else None
    found = PRODUCTS.get(str(item.get("id"))) if isinstance(item, dict) else None
    if found is None:
        return None
    count = mapping(wanted.get("quantity")).get("quantity", 1)
    if not isinstance(count, int | float):
        raise answers.price(400, "Bad Request", "quantity must be a number")
    return {
        "priceId": f"price-{found.id}-{currency}",
        "itemId": {"itemType": "PRODUCT", "id": found.id},
        "siteCode": site,
        "currency": currency,
        "quantity": {"quantity": count, "unitCode": "pc"},
        **_values(found, currency, count),
        "includesTax": True,
        "priceModel": _MODEL,
        "tierValues": [
            {"id": _ONE, "priceValue": found.price(currency)},
            {"id": _DOZEN, "priceValue": found.price(currency, DOZEN)},
        ],
    }


def _values(found: Product, currency: str, count: float) -> dict[str, Any]:
    each = found.price(currency, count)
    values = {"originalValue": each, "effectiveValue": each, "totalValue": round(each * count, 2)}
    prices = {name: taxed(value) for name, value in values.items()}
    return {**values, "tax": {"taxClass": TAX_CLASS, "taxRate": TAX_RATE, "prices": prices}}


ROUTES: Final = (
    Entry("POST", "/price/{tenant}/match-prices-by-context", "any", match_prices),
    Entry("POST", "/price/{tenant}/match-prices", "any", match_prices),
    Entry("PUT", "/tax/{tenant}/taxes/calculation-commands", "any", calculate_tax),
)
