// Converts the JSON of the Emporix services, whose format depends on tenant, version and language.

function localized(value) {
  if (value !== null && typeof value === "object") return String(value.en ?? Object.values(value)[0] ?? "");
  return value === undefined || value === null ? "" : String(value);
}

function amountOf(value) {
  if (typeof value === "number") return value;
  if (value === null || typeof value !== "object") return undefined;
  return value.amount ?? value.effectiveAmount ?? value.grossValue ?? value.value;
}

export function list(response) {
  if (Array.isArray(response)) return response;
  return response?.items ?? response?.content ?? [];
}

export function product(one) {
  return { id: String(one.id), code: String(one.code ?? one.id), name: localized(one.name), description: localized(one.description) };
}

export function category(one) {
  return { id: String(one.id ?? one.code), name: localized(one.localizedName ?? one.name), parent: one.parentId ?? null };
}

/** The id of the product in a category assignment. */
export function assigned(one) {
  return String(one.ref?.id ?? one.referenceId ?? one.id);
}

export function price(one) {
  return {
    product: String(one.itemRef?.id ?? one.itemId?.id ?? one.itemId),
    priceId: one.priceId,
    amount: one.effectiveValue ?? one.totalValue,
    original: one.originalValue ?? one.effectiveValue,
    currency: one.currency ?? "EUR",
  };
}

export function yrn(tenant, productId) {
  return `urn:yaas:saasag:caasproduct:product:${tenant};${productId}`;
}

function cartLine(one) {
  const yrnId = String(one.itemYrn ?? "").split(";").at(-1);
  const quantity = Number(one.quantity?.quantity ?? one.quantity ?? 1);
  return {
    id: String(one.id),
    product: String(one.product?.id ?? yrnId),
    name: localized(one.product?.name),
    quantity,
    each: amountOf(one.price) ?? amountOf(one.unitPrice) ?? amountOf(one.itemPrice),
    currency: one.price?.currency ?? one.itemPrice?.currency,
  };
}

export function cart(response) {
  const one = Array.isArray(response) ? response[0] : response;
  const id = one?.id ?? one?.cartId;
  if (id === undefined || id === null) return null;
  const lines = (one.items ?? []).map(cartLine);
  const sum = lines.reduce((total, line) => total + (line.each ?? 0) * line.quantity, 0);
  return {
    id: String(id),
    lines,
    count: lines.reduce((total, line) => total + line.quantity, 0),
    total: amountOf(one.totalPrice) ?? amountOf(one.calculatedPrice?.finalPrice) ?? sum,
    currency: one.currency ?? one.totalPrice?.currency ?? "EUR",
  };
}

export function profile(one) {
  return {
    firstName: one?.firstName ?? "",
    lastName: one?.lastName ?? "",
    email: one?.contactEmail ?? one?.email ?? "",
    version: one?.metadata?.version ?? one?.metadataVersion,
    companies: (one?.b2b?.legalEntities ?? one?.legalEntities ?? []).map((company) => ({
      id: String(company.id ?? company),
      name: String(company.name ?? company.id ?? company),
    })),
  };
}

export function order(one) {
  return {
    id: String(one.id),
    status: String(one.status ?? ""),
    created: one.created ?? one.metadata?.createdAt ?? null,
    total: amountOf(one.totalPrice) ?? amountOf(one.calculatedPrice?.finalPrice) ?? amountOf(one.calculatedPrice),
    currency: one.currency ?? one.totalPrice?.currency ?? "EUR",
  };
}
