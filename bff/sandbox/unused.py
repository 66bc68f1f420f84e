"""What this small shop does not use, as a tenant that never configured it answers: empty lists, and nothing by id."""

from typing import Final

from starlette.responses import Response

from bff.sandbox import answers
from bff.sandbox.paging import page
from bff.sandbox.routing import Call, Entry, Need


def nothing(call: Call) -> Response:
    return page(call, [])


def missing(_call: Call) -> Response:
    raise answers.customer(404, "resource_not_found", "There is no such resource.")


def not_configured(_call: Call) -> Response:
    raise answers.bad_request("The service is not configured for this tenant.")


_LISTS: Final[tuple[tuple[str, str, Need], ...]] = (
    ("GET", "/brand/brands", "any"),
    ("GET", "/label/labels", "any"),
    ("GET", "/fee/{tenant}/fees", "any"),
    ("GET", "/fee/{tenant}/itemFees", "any"),
    ("POST", "/fee/{tenant}/itemFees/search", "any"),
    ("POST", "/fee/{tenant}/itemFees/searchByProductId", "any"),
    ("POST", "/fee/{tenant}/itemFees/searchByProductIds", "any"),
    ("GET", "/fee/{tenant}/itemFees/{itemYRN}/fees", "any"),
    ("GET", "/fee/{tenant}/productFees/{productId}/fees", "any"),
    ("GET", "/customer-segment/{tenant}/segments", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/items", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/items/category-trees", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/me", "customer"),
    ("POST", "/customer-segment/{tenant}/segments/search", "customer"),
    ("GET", "/iam/{tenant}/users/me/access-controls", "customer"),
    ("GET", "/shoppinglist/{tenant}/shopping-lists", "customer"),
    ("GET", "/unit-handling/{tenant}/types", "any"),
    ("GET", "/unit-handling/{tenant}/units", "any"),
)
_BY_ID: Final[tuple[tuple[str, str, Need], ...]] = (
    ("GET", "/brand/brands/{brandId}", "any"),
    ("GET", "/label/labels/{labelId}", "any"),
    ("GET", "/fee/{tenant}/fees/{id}", "any"),
    ("GET", "/country/{tenant}/regions/{regionCode}", "any"),
    ("GET", "/shipping/{tenant}/{site}/groups/{groupId}", "any"),
    ("GET", "/unit-handling/{tenant}/units/{unitCode}", "any"),
    ("GET", "/indexing/{tenant}/public/configurations/{provider}", "any"),
    ("GET", "/customer-segment/{tenant}/segments/{segmentId}", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/{segmentId}/customers", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/{segmentId}/items", "customer"),
    ("POST", "/customer-segment/{tenant}/segments/{segmentId}/items/search", "customer"),
    ("GET", "/customer-segment/{tenant}/segments/{segmentId}/items/{type}/{itemId}", "customer"),
)
_NOT_CONFIGURED: Final[tuple[tuple[str, str, Need], ...]] = (
    ("POST", "/payment-gateway/{tenant}/payment/frontend/authorize", "any"),
    ("POST", "/payment-gateway/{tenant}/payment/frontend/initialize", "any"),
    ("PUT", "/unit-handling/{tenant}/units/conversion-factor-commands", "any"),
    ("PUT", "/unit-handling/{tenant}/units/convert-unit-commands", "any"),
    ("POST", "/shoppinglist/{tenant}/shopping-lists", "customer"),
    ("PUT", "/shoppinglist/{tenant}/shopping-lists/{customerId}", "customer"),
)
ROUTES: Final = (
    *(Entry(*one, nothing) for one in _LISTS),
    *(Entry(*one, not_configured) for one in _NOT_CONFIGURED),
    *(Entry(*one, missing) for one in _BY_ID),
)
