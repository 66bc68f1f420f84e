"""Products, their pictures and their availability, and search configurations."""

import re
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.catalogue import CREATED, PRODUCTS, Product
from bff.sandbox.paging import language, localized, page
from bff.sandbox.pictures import picture
from bff.sandbox.routing import Call, Entry

_TERM: Final = re.compile(r"(\w+(?:\.\w+)?):(~?)(\([^)]*\)|\"[^\"]*\"|\S+)")


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


def show_picture(call: Call) -> Response:
    if call.path["name"] not in PRODUCTS:
        raise answers.price(404, "Not Found", "The picture was not found")
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(picture(call.path["name"]), 200, headers, "image/svg+xml")


def products_by_yrn(call: Call) -> Response:
    """Return the products with the `yrns` of the body (an older path)."""
    yrns = call.fields().get("yrns")
    if not isinstance(yrns, list):
        raise answers.price(400, "Bad Request", "yrns must be a list")
    keys = [str(one).rpartition(";")[2] for one in yrns]
    return JSONResponse([_product(call, PRODUCTS[key]) for key in keys if key in PRODUCTS])


def availabilities(call: Call) -> Response:
    """Return the availability of all products at a site, which is in the path or, in an older one, in the query."""
    site = call.path.get("site") or call.query.get("site", "main")
    return page(call, [_availability(one, site) for one in PRODUCTS.values()])


def search_configurations(_call: Call) -> Response:
    """Return no configuration: this tenant has no search provider."""
    return JSONResponse([])


def search_configuration(_call: Call) -> Response:
    """Return an object without credentials, for the same reason (an older path)."""
    return JSONResponse({})


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


def media_url(call: Call, one: Product) -> str:
    """Return the address of a picture, absolute as Emporix' are: a storefront loads it from there."""
    return f"{call.request.base_url}media/{call.world.knobs.tenant}/{one.id}.svg"


def _product(call: Call, one: Product) -> dict[str, Any]:
    tenant = call.world.knobs.tenant
    media = [{"id": one.id, "url": media_url(call, one), "contentType": "image/svg+xml", "position": 0}]
    return {
        "id": one.id,
        "code": one.code,
        "yrn": f"urn:yaas:saasag:caasproduct:product:{tenant};{one.id}",
        "name": localized(call, one.name),
        "description": localized(call, one.description),
        "published": True,
        "productType": "BASIC",
        "categoryId": one.category,
        "media": media,
        "productMedia": media,
        "mixins": {},
        "metadata": {"version": 1, "createdAt": CREATED, "modifiedAt": CREATED},
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
    Entry("POST", "/availability/{tenant}/availability/search", "any", search_availability),
    Entry("GET", "/availability/{tenant}/availability/site/{site}", "any", availabilities),
    Entry("GET", "/availability/{tenant}/availability/{productId}/{site}", "any", availability),
    Entry("GET", "/availability/{tenant}/availability", "any", availabilities),
    Entry("POST", "/product/{tenant}/search", "any", products_by_yrn),
    Entry("GET", "/indexing/{tenant}/public/configurations", "any", search_configurations),
    Entry("GET", "/caas-indexing/{tenant}/project/configuration", "any", search_configuration),
    Entry("GET", "/media/{tenant}/{name}.svg", "none", show_picture),
)
