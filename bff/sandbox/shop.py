"""The catalogue: products, categories, pictures, prices and availability."""

import re
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.catalogue import CATEGORIES, PRODUCTS, Category, Localized, Product
from bff.sandbox.paging import language, page
from bff.sandbox.pictures import picture
from bff.sandbox.routing import Call, Entry, mapping

MATCH_CAP: Final = 50
_TERM: Final = re.compile(r"(\w+(?:\.\w+)?):(~?)(\([^)]*\)|\"[^\"]*\"|\S+)")
_CREATED: Final = "2026-01-05T08:00:00.000Z"


def products(call: Call) -> Response:
    return page(call, _search(call, call.query.get("q", "")))


def search_products(call: Call) -> Response:
    return page(call, _search(call, str(call.fields().get("q", ""))))


def product(call: Call) -> Response:
    found = PRODUCTS.get(call.path["productId"])
    if found is None:
        raise answers.price(404, "Not Found", "The product was not found")
    language_code = language(call)
    headers = {"Content-Language": language_code} if language_code else {}
    return JSONResponse(_product(call, found), headers=headers)


def categories(call: Call) -> Response:
    return page(call, [_category(call, one) for one in CATEGORIES.values()])


def trees(call: Call) -> Response:
    return page(call, [{**_category(call, one), "subcategories": []} for one in CATEGORIES.values()])


def category(call: Call) -> Response:
    return JSONResponse(_category(call, _known_category(call)))


def assignments(call: Call) -> Response:
    key = _known_category(call).id
    mine = [one for one in PRODUCTS.values() if one.category == key]
    return page(call, [{"id": f"{key}-{one.id}", "ref": {"id": one.id, "type": "PRODUCT"}} for one in mine])


def show_picture(call: Call) -> Response:
    if call.path["name"] not in PRODUCTS:
        raise answers.price(404, "Not Found", "The picture was not found")
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(picture(call.path["name"]), 200, headers, "image/svg+xml")


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


def availability(call: Call) -> Response:
    found = PRODUCTS.get(call.path["productId"])
    if found is None:
        raise answers.price(404, "Not Found", "The availability was not found")
    return JSONResponse(_availability(found, call.path["site"]))


def search_availability(call: Call) -> Response:
    """Return the availability of a list of products; the body is a list of ids or has one in `productIds`."""
    body = call.json()
    keys = body.get("productIds") if isinstance(body, dict) else body
    if not isinstance(keys, list):
        raise answers.price(400, "Bad Request", "A list of product ids is required")
    found = [PRODUCTS[key] for key in keys if isinstance(key, str) and key in PRODUCTS]
    return JSONResponse([_availability(one, call.query.get("site", "main")) for one in found])


def _search(call: Call, query: str) -> list[dict[str, Any]]:
    tests = [_term_filter(*hit) for hit in _TERM.findall(query)]
    rest = _TERM.sub("", query).strip().casefold()
    hits = [
        one for one in PRODUCTS.values() if all(test(one) for test in tests) and rest in _search_text(one)
    ]
    if call.query.get("sort", "").startswith("name"):
        hits.sort(key=lambda one: one.name["en"], reverse=call.query["sort"].endswith(":desc"))
    return [_product(call, one) for one in hits]


def _term_filter(name: str, like: str, value: str) -> Callable[[Product], bool]:
    """Return a filter for one term of `q`, such as `code:AC-001`, `id:(a,b)`, `name:~tea` or `categoryId:tea`."""
    wanted = {part.strip().casefold() for part in value.strip('()"').split(",")}
    field = {"categoryId": "category"}.get(name, name.partition(".")[0])

    def test(one: Product) -> bool:
        found = getattr(one, field, "")
        text = " ".join(found.values()) if isinstance(found, dict) else str(found)
        return any(part in text.casefold() for part in wanted) if like else text.casefold() in wanted

    return test


def _search_text(one: Product) -> str:
    return " ".join((one.code, *one.name.values(), *one.description.values())).casefold()


def _localized(call: Call, words: Localized) -> Localized | str:
    language_code = language(call)
    return words if language_code is None else words[language_code]


def _product(call: Call, one: Product) -> dict[str, Any]:
    tenant = call.world.knobs.tenant
    url = f"/media/{tenant}/{one.id}.svg"
    media = [{"id": one.id, "url": url, "contentType": "image/svg+xml", "position": 0}]
    return {
        "id": one.id,
        "code": one.code,
        "yrn": f"urn:yaas:saasag:caasproduct:product:{tenant};{one.id}",
        "name": _localized(call, one.name),
        "description": _localized(call, one.description),
        "published": True,
        "productType": "BASIC",
        "categoryId": one.category,
        "media": media,
        "productMedia": media,
        "mixins": {},
        "metadata": {"version": 1, "createdAt": _CREATED, "modifiedAt": _CREATED},
    }


def _category(call: Call, one: Category) -> dict[str, Any]:
    return {
        "id": one.id,
        "code": one.id,
        "name": _localized(call, one.name),
        "localizedName": one.name,
        "description": _localized(call, one.description),
        "published": True,
        "position": list(CATEGORIES).index(one.id),
    }


def _known_category(call: Call) -> Category:
    found = CATEGORIES.get(call.path["categoryId"])
    if found is None:
        raise answers.price(404, "Not Found", "The category was not found")
    return found


def _price(wanted: Any, currency: str, site: str) -> dict[str, Any] | None:
    item = wanted.get("itemId") if isinstance(wanted, dict) else None
    found = PRODUCTS.get(str(item.get("id"))) if isinstance(item, dict) else None
    if found is None:
        return None
    count = mapping(wanted.get("quantity")).get("quantity", 1)
    if not isinstance(count, int | float):
        raise answers.price(400, "Bad Request", "quantity must be a number")
    amount = found.price(currency)
    return {
        "priceId": f"price-{found.id}-{currency}",
        "itemId": {"itemType": "PRODUCT", "id": found.id},
        "siteCode": site,
        "currency": currency,
        "quantity": {"quantity": count, "unitCode": "pc"},
        "originalValue": amount,
        "effectiveValue": amount,
        "totalValue": round(amount * count, 2),
        "includesTax": True,
    }


def _availability(one: Product, site: str) -> dict[str, Any]:
    return {
        "id": f"{site}:{one.id}",
        "productId": one.id,
        "site": site,
        "available": one.stock > 0,
        "stockLevel": one.stock,
        "distributionChannel": "ASSORTMENT",
    }


ROUTES: Final = (
    Entry("GET", "/product/{tenant}/products", "any", products),
    Entry("POST", "/product/{tenant}/products/search", "any", search_products),
    Entry("GET", "/product/{tenant}/products/{productId}", "any", product),
    Entry("GET", "/category/{tenant}/categories", "any", categories),
    Entry("GET", "/category/{tenant}/categories/categoryTree", "any", trees),
    Entry("POST", "/category/{tenant}/categories/search", "any", categories),
    Entry("GET", "/category/{tenant}/category-trees", "any", trees),
    Entry("GET", "/category/{tenant}/categories/{categoryId}", "any", category),
    Entry("GET", "/category/{tenant}/categories/{categoryId}/assignments", "any", assignments),
    Entry("POST", "/price/{tenant}/match-prices-by-context", "any", match_prices),
    Entry("POST", "/price/{tenant}/match-prices", "any", match_prices),
    Entry("POST", "/availability/{tenant}/availability/search", "any", search_availability),
    Entry("GET", "/availability/{tenant}/availability/{productId}/{site}", "any", availability),
    Entry("GET", "/media/{tenant}/{name}.svg", "none", show_picture),
)
