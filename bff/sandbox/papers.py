"""What quotes, returns and approvals have in common: a customer has them, and nobody else sees them."""

from typing import Any

from bff.sandbox import answers, tokens
from bff.sandbox.context import stamp
from bff.sandbox.records import Paper
from bff.sandbox.routing import Call


def own(call: Call, papers: dict[str, Paper]) -> list[Paper]:
    """Return the caller's papers, newest first; a company's only to a token that has the company."""
    mine = (call.customer.number, call.token.legal_entity)
    return [one for one in reversed(papers.values()) if (one.customer, one.legal_entity) == mine]


def own_one(call: Call, papers: dict[str, Paper], key: str) -> Paper:
    found = next((one for one in own(call, papers) if one.id == key), None)
    if found is None:
        raise answers.checkout(404, "resource_not_found", "The resource was not found")
    return found


def add(call: Call, papers: dict[str, Paper], members: dict[str, Any]) -> Paper:
    """Keep a paper of the caller with an id, a version and its times."""
    key, now = tokens.object_id(), stamp(call.world.now())
    metadata = {"version": 1, "createdAt": now, "modifiedAt": now}
    body = {"id": key, **members, "metadata": metadata}
    papers[key] = Paper(key, call.customer.number, call.token.legal_entity, body)
    return papers[key]


def changed(call: Call, paper: Paper) -> None:
    metadata = paper.body["metadata"]
    metadata["version"] += 1
    metadata["modifiedAt"] = stamp(call.world.now())


def person(call: Call) -> dict[str, Any]:
    customer = call.customer
    names = {name: customer.details.get(name, "") for name in ("firstName", "lastName")}
    return {"customerId": customer.number, **names, "contactEmail": customer.email}


def patches(call: Call) -> dict[str, Any]:
    """Return the values of a JSON patch by their path; operations may be in capitals or not."""
    body = call.json()
    body = [body] if isinstance(body, dict) else body
    if not isinstance(body, list) or not all(isinstance(one, dict) and "path" in one for one in body):
        raise answers.checkout(400, "validation_violation", "A list of operations is needed")
    return {str(one["path"]): one.get("value") for one in body}
