"""The pictures are well-formed, deterministic and different, and never contain the given text."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bff.sandbox.catalogue import CATEGORIES, PRODUCTS
from bff.sandbox.pictures import picture


@pytest.mark.parametrize("product_id", [*PRODUCTS, "unknown"])
def test_every_product_has_a_picture(product_id: str) -> None:
    text = picture(product_id)
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  (our own text)
    assert text == picture(product_id)
    assert "<text" not in text
    assert "<script" not in text


def test_all_pictures_are_different() -> None:
    assert len({picture(key) for key in PRODUCTS}) == len(PRODUCTS) == 16


def test_a_picture_never_contains_the_given_text() -> None:
    assert "onload" not in picture('"><svg onload=1>')


def test_every_product_is_in_a_category() -> None:
    leaves = set(CATEGORIES) - {one.parent for one in CATEGORIES.values()}
    assert {one.category for one in PRODUCTS.values()} == leaves


@pytest.mark.anyio
async def test_pictures_need_no_bearer_token(shop: Any) -> None:
    response = await shop.request("GET", "/media/acmeshop/cloudbank.svg")
    assert response.headers["content-type"].startswith("image/svg+xml")
    assert response.text == picture("cloudbank")
    assert (await shop.request("GET", "/media/acmeshop/none.svg")).status_code == 404
