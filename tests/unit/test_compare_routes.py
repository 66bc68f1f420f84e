"""The comparison of the route table with a folder of OpenAPI files reports what differs, and nothing else."""

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compare_routes import Entry, main, read_table

TABLE = read_table(files("bff.api").joinpath("routes.toml").read_text("utf-8"))
HEADERS = {
    "saas-token": "saas-token",
    "saas-token-optional": "saas-token",
    "session-id": "session-id",
    "chat-session": "session-id",
}
Document = dict[str, Any]


def operation(entry: Entry) -> Document:
    sent = [HEADERS[flag] for flag in entry.rule.split() if flag in HEADERS]
    return {"parameters": [{"name": name, "in": "header"} for name in sent], "responses": {}}


def reference() -> dict[str, Document]:
    """Return OpenAPI documents, one for each service, that say the same as the table."""
    documents: dict[str, Document] = {}
    for (method, _), entry in TABLE.items():
        if entry.section == "drop-in" or entry.template.endswith("**"):
            continue
        service = entry.template.split("/")[1]
        document = documents.setdefault(service, {"openapi": "3.0.0", "paths": {}})
        document["paths"].setdefault(entry.template, {})[method.lower()] = operation(entry)
    return documents


def differences(
    folder: Path, documents: dict[str, Document], capsys: pytest.CaptureFixture[str]
) -> list[str]:
    for number, (name, document) in enumerate(documents.items()):
        place = folder / name
        place.mkdir(exist_ok=True)
        text = json.dumps(document)
        if number % 2:
            (place / "api.json").write_text(text)
        else:
            (place / "api.yml").write_text(yaml.safe_dump(document))
    code = main([str(folder)])
    found = capsys.readouterr().out.splitlines()
    assert code == (1 if found else 0)
    return [" ".join(line.split(":")[0].split()) for line in found]


def test_a_reference_like_the_table_has_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert differences(tmp_path, reference(), capsys) == []


def test_planted_differences_are_reported_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = copy.deepcopy(reference())
    cart, order = documents["cart"]["paths"], documents["order-v2"]["paths"]
    cart["/cart/{tenant}/carts/{cartId}/gift"] = {"post": {}}
    cart["/cart/{tenant}/carts/{other}"] = cart.pop(
        "/cart/{tenant}/carts/{cartId}"
    )  # only the name is another
    product = documents["product"]["paths"]["/product/{tenant}/products/{productId}"]
    product["post"] = product.pop("get")
    del order["/order-v2/{tenant}/salesorders/search"]
    documents["availability"]["paths"]["/availability/{tenant}/availability/search"]["parameters"] = [
        {"$ref": "#/components/parameters/who"}
    ]
    documents["availability"]["components"] = {"parameters": {"who": {"name": "SAAS-Token", "in": "header"}}}
    documents["reward-points"]["paths"]["/reward-points/public/customer"]["get"]["parameters"] = [
        {"name": "session-id", "in": "header"},
        {"name": "saas-token", "in": "query"},
    ]
    assert differences(tmp_path, documents, capsys) == [
        "new POST /cart/{tenant}/carts/{cartId}/gift",
        "new POST /product/{tenant}/products/{productId}",
        "changed POST /availability/{tenant}/availability/search",
        "changed GET /reward-points/public/customer",
        "gone POST /order-v2/{tenant}/salesorders/search",
        "gone GET /product/{tenant}/products/{productId}",
    ]


def test_paths_are_below_the_path_of_the_files_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = copy.deepcopy(reference())
    labels = documents["label"]
    labels["servers"] = [{"url": "https://api.emporix.io/label/"}]
    labels["paths"] = {path.removeprefix("/label"): item for path, item in labels["paths"].items()}
    assert differences(tmp_path, documents, capsys) == []


def test_an_operation_below_a_wildcard_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = copy.deepcopy(reference())
    documents["search"]["paths"]["/search/{tenant}/queries/{id}/run"] = {"post": {}}
    assert differences(tmp_path, documents, capsys) == []


def test_a_folder_without_a_reference_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.yaml").write_text("a: b")
    assert main([str(tmp_path)]) == 2
    assert "no OpenAPI file" in capsys.readouterr().err
    assert main([]) == 2
