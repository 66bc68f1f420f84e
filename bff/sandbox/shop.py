"""Reading the catalogue: products, categories, pictures, prices and availability."""

import re
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.catalogue import CATEGORIES, PRODUCTS, Category, Product, Words
from bff.sandbox.paging import language, page
from bff.sandbox.pictures import picture
from bff.sandbox.routing import Call, Entry, mapping

MATCH_CAP: Final = 50
_TERM: Final = re.compile(r"(\w+(?:\.\w+)?):(~?)(\([^)]*\)|\"[^\"]*\"|\S+)")
_MADE: Final = "2026-01-05T08:00:00.000Z"


def products(call: Call) -> Response:
    return page(call, _found(call, call.query.get("q", "")))


def search_products(call: Call) -> Response:
    return page(call, _found(call, str(call.fields().get("q", ""))))


def product(call: Call) -> Response:
    known = PRODUCTS.get(call.path["productId"])
    if known is None:
        raise answers.price(404, "Not Found", "The product was not found")
    tongue = language(call)
    headers = {"Content-Language": tongue} if tongue else {}
    return JSONResponse(_product(call, known), headers=headers)


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
    """Price what is asked for by the session context; names lines `itemId`, and gives up above 50 of them."""
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
    known = PRODUCTS.get(call.path["productId"])
    if known is None:
        raise answers.price(404, "Not Found", "The availability was not found")
    return JSONResponse(_availability(known, call.path["site"]))


def search_availability(call: Call) -> Response:
    """Take a list of product ids, bare or under `productIds`."""
    body = call.json()
    keys = body.get("productIds") if isinstance(body, dict) else body
    if not isinstance(keys, list):
        raise answers.price(400, "Bad Request", "A list of product ids is needed")
    known = [PRODUCTS[key] for key in keys if isinstance(key, str) and key in PRODUCTS]
    return JSONResponse([_availability(one, call.query.get("site", "main")) for one in known])


def _found(call: Call, query: str) -> list[dict[str, Any]]:
    tests = [_test(*hit) for hit in _TERM.findall(query)]
    rest = _TERM.sub("", query).strip().casefold()
    hits = [one for one in PRODUCTS.values() if all(test(one) for test in tests) and rest in _text(one)]
    if call.query.get("sort", "").startswith("name"):
        hits.sort(key=lambda one: one.name["en"], reverse=call.query["sort"].endswith(":desc"))
    return [_product(call, one) for one in hits]


def _test(name: str, like: str, value: str) -> Callable[[Product], bool]:
    """Turn one term of `q` into a test: `code:AC-001`, `id:(a,b)`, `name:~tea`, `categoryId:tea`."""
    wanted = {part.strip().casefold() for part in value.strip('()"').split(",")}
    field = {"categoryId": "category"}.get(name, name.partition(".")[0])

    def test(one: Product) -> bool:
        found = getattr(one, field, "")
        text = " ".join(found.values()) if isinstance(found, dict) else str(found)
        return any(part in text.casefold() for part in wanted) if like else text.casefold() in wanted

    return test


def _text(one: Product) -> str:
    return " ".join((one.code, *one.name.values(), *one.description.values())).casefold()


def _words(call: Call, words: Words) -> Words | str:
    tongue = language(call)
    return words if tongue is None else words[tongue]


def _product(call: Call, one: Product) -> dict[str, Any]:
    tenant = call.world.knobs.tenant
    url = f"/media/{tenant}/{one.id}.svg"
    media = [{"id": one.id, "url": url, "contentType": "image/svg+xml", "position": 0}]
    return {
        "id": one.id,
        "code": one.code,
        "yrn": f"urn:yaas:saasag:caasproduct:product:{tenant};{one.id}",
        "name": _words(call, one.name),
        "description": _words(call, one.description),
        "published": True,
        "productType": "BASIC",
        "categoryId": one.category,
        "media": media,
        "productMedia": media,
        "mixins": {},
        "metadata": {"version": 1, "createdAt": _MADE, "modifiedAt": _MADE},
    }


def _category(call: Call, one: Category) -> dict[str, Any]:
    return {
        "id": one.id,
        "code": one.id,
        "name": _words(call, one.name),
        "localizedName": one.name,
        "description": _words(call, one.description),
        "published": True,
        "position": list(CATEGORIES).index(one.id),
    }


def _known_category(call: Call) -> Category:
    known = CATEGORIES.get(call.path["categoryId"])
    if known is None:
        raise answers.price(404, "Not Found", "The category was not found")
    return known


def _price(wanted: Any, currency: str, site: str) -> dict[str, Any] | None:
    item = wanted.get("itemId") if isinstance(wanted, dict) else None
    known = PRODUCTS.get(str(item.get("id"))) if isinstance(item, dict) else None
    if known is None:
        return None
    count = mapping(wanted.get("quantity")).get("quantity", 1)
    if not isinstance(count, int | float):
        raise answers.price(400, "Bad Request", "quantity must be a number")
    amount = known.price(currency)
    return {
        "priceId": f"price-{known.id}-{currency}",
        "itemId": {"itemType": "PRODUCT", "id": known.id},
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
