"""Catalogs, categories and what is in them."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.catalogue import CATEGORIES, CREATED, PRODUCTS, Category
from bff.sandbox.paging import language, localized, page
from bff.sandbox.routing import Call, Entry

_ROOTS: Final = [one.id for one in CATEGORIES.values() if one.parent is None]
_METADATA: Final = {"version": 1, "createdAt": CREATED, "updatedAt": CREATED}


def categories(call: Call) -> Response:
    return page(call, [_category(call, one) for one in CATEGORIES.values()])


def trees(call: Call) -> Response:
    return page(call, [_tree(call, CATEGORIES[key]) for key in _ROOTS])


def tree(call: Call) -> Response:
    return JSONResponse(_tree(call, _known_category(call)))


def category(call: Call) -> Response:
    return JSONResponse(_category(call, _known_category(call)))


def parents(call: Call) -> Response:
    """Return the categories above a category, from the root down."""
    rows: list[dict[str, Any]] = []
    key = _known_category(call).parent
    while key is not None:
        rows.insert(0, _category(call, CATEGORIES[key]))
        key = CATEGORIES[key].parent
    return page(call, rows)


def subcategories(call: Call) -> Response:
    return page(call, [_category(call, one) for one in _children(_known_category(call))])


def assignments(call: Call) -> Response:
    """Return the products of a category.

    The specification's list of types has PRODUCT, its example and the official storefront have product.
    """
    found = _known_category(call)
    inside = [found, *_children(found)] if call.query.get("withSubcategories") == "true" else [found]
    keys = {one.id for one in inside}
    return page(
        call,
        [
            {
                "id": f"{one.category}-{one.id}",
                "categoryId": one.category,
                "ref": {"id": one.id, "type": "product", "localizedName": one.name},
            }
            for one in PRODUCTS.values()
            if one.category in keys
        ],
    )


def references(call: Call) -> Response:
    """Return the categories that a product is assigned to."""
    found = PRODUCTS.get(call.path["referenceId"])
    return page(call, [_category(call, CATEGORIES[found.category])] if found else [])


def catalogs(call: Call) -> Response:
    """Return the only catalog where the query's site publishes it."""
    one = _catalog(call)
    return page(call, [one] if call.query.get("publishedSite", "main") in one["publishedSites"] else [])


def catalogs_of_category(call: Call) -> Response:
    return page(call, [_catalog(call)] if _known_category(call).id in _ROOTS else [])


def catalog(call: Call) -> Response:
    one = _catalog(call)
    if call.path["catalogId"] != one["id"]:
        raise answers.price(404, "Not Found", "The catalog was not found")
    return JSONResponse(one)


def _catalog(call: Call) -> dict[str, Any]:
    return {
        "id": "assortment",
        "name": localized(call, {"en": "Assortment", "de": "Sortiment"}),
        "status": "visible",
        "visibility": {"visible": True},
        "publishedSites": ["main", "us"],
        "categoryIds": _ROOTS,
        "metadata": _METADATA,
    }


def _children(parent: Category) -> list[Category]:
    return [one for one in CATEGORIES.values() if one.parent == parent.id]


def _tree(call: Call, one: Category) -> dict[str, Any]:
    return {**_category(call, one), "subcategories": [_tree(call, child) for child in _children(one)]}


def _category(call: Call, one: Category) -> dict[str, Any]:
    """Return a category; its name is one text always, the texts in all languages have names of their own."""
    code = language(call) or "en"
    return {
        "id": one.id,
        **({"parentId": one.parent} if one.parent else {}),
        "code": one.id,
        "name": one.name[code],
        "description": one.description[code],
        "localizedName": one.name,
        "localizedDescription": one.description,
        "published": True,
        "position": list(CATEGORIES).index(one.id),
        "media": [],
        "metadata": _METADATA,
    }


def _known_category(call: Call) -> Category:
    found = CATEGORIES.get(call.path["categoryId"])
    if found is None:
        raise answers.price(404, "Not Found", "The category was not found")
    return found


_BASE: Final = "/category/{tenant}"
ROUTES: Final = (
    Entry("GET", f"{_BASE}/categories", "any", categories),
    Entry("GET", f"{_BASE}/categories/categoryTree", "any", trees),
    Entry("POST", f"{_BASE}/categories/search", "any", categories),
    Entry("GET", f"{_BASE}/category-trees", "any", trees),
    Entry("POST", f"{_BASE}/category-trees/search", "any", trees),
    Entry("GET", f"{_BASE}/category-trees/{{categoryId}}", "any", tree),
    Entry("GET", f"{_BASE}/categories/{{categoryId}}", "any", category),
    Entry("GET", f"{_BASE}/categories/{{categoryId}}/assignments", "any", assignments),
    Entry("GET", f"{_BASE}/categories/{{categoryId}}/parents", "any", parents),
    Entry("GET", f"{_BASE}/categories/{{categoryId}}/subcategories", "any", subcategories),
    Entry("GET", f"{_BASE}/assignments/references/{{referenceId}}", "any", references),
    Entry("GET", "/catalog/{tenant}/catalogs", "any", catalogs),
    Entry("GET", "/catalog/{tenant}/catalogs/categories/{categoryId}", "any", catalogs_of_category),
    Entry("GET", "/catalog/{tenant}/catalogs/{catalogId}", "any", catalog),
)
