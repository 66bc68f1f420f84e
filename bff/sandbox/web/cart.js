// The cart drawer and the checkout. The first change of the cart starts a guest session.

import { call } from "./api.js";
import { nameOf, pictureOf, priceOf } from "./catalogue.js";
import { el, fill, find, money, onClick, onSubmit, once, openDialog } from "./dom.js";
import * as session from "./session.js";
import * as shapes from "./shapes.js";

let config = { tenant: "", site: "" };
let cart = null;
let queue = Promise.resolve(); // changes run one after the other, because each depends on the result of the last one

function base() {
  return `/api/cart/${config.tenant}/carts`;
}

function site() {
  return `siteCode=${encodeURIComponent(config.site)}`;
}

/** Gets the open cart of the current company; Emporix creates it if there is none. */
async function openCart() {
  const { legalEntityId } = session.current();
  const company = legalEntityId === null ? "" : `&legalEntityId=${encodeURIComponent(legalEntityId)}`;
  return shapes.cart(await call("GET", `${base()}?${site()}${company}&create=true`));
}

function enqueue(change) {
  const result = queue.then(change);
  queue = result.catch(() => {});
  return result;
}

/** Shows the cart of the session; without a session, none is started. */
export function reload() {
  return enqueue(async () => {
    if (session.current().kind === "none") return show(null);
    try {
      show(await openCart());
    } catch (error) {
      show(null);
      throw error;
    }
  });
}

async function read() {
  show(shapes.cart(await call("GET", `${base()}/${encodeURIComponent(cart.id)}?${site()}`)));
}

async function ensureCart() {
  await session.ensure();
  if (cart === null) cart = await openCart();
}

/** Runs a change on the cart. If the cart no longer exists (ordered on another device), tries once with a new one. */
async function changeCart(change) {
  await ensureCart();
  try {
    await change();
  } catch (error) {
    if (error.status !== 404) throw error;
    cart = null;
    await ensureCart();
    await change();
  }
  await read();
}

function itemPath(itemId) {
  return `${base()}/${encodeURIComponent(cart.id)}/items/${encodeURIComponent(itemId)}`;
}

function lineOf(productId) {
  return cart?.lines.find((one) => one.product === productId);
}

export function add(productId, quantity) {
  const price = priceOf(productId);
  if (price === undefined) return Promise.reject(new Error("This has no price yet. Try again in a moment."));
  return enqueue(() =>
    changeCart(() => {
      const line = lineOf(productId);
      if (line !== undefined) return call("PUT", `${itemPath(line.id)}?partial=true`, { quantity: line.quantity + quantity });
      return call("POST", `${base()}/${encodeURIComponent(cart.id)}/items?${site()}`, {
        itemYrn: shapes.yrn(config.tenant, productId),
        price: { priceId: price.priceId, effectiveAmount: price.amount, originalAmount: price.original, currency: price.currency },
        quantity,
      });
    }));
}

function change(productId, step) {
  return enqueue(() =>
    changeCart(() => {
      const line = lineOf(productId);
      if (line === undefined) return null;
      const quantity = step === 0 ? 0 : line.quantity + step;
      if (quantity < 1) return call("DELETE", itemPath(line.id));
      return call("PUT", `${itemPath(line.id)}?partial=true`, { quantity });
    }));
}

function show(next) {
  cart = next;
  const count = cart?.count ?? 0;
  find("cart-count").textContent = String(count);
  find("cart-count-text").textContent = count === 0 ? ", empty" : `, ${count} ${count === 1 ? "article" : "articles"}`;
  find("cart-empty").hidden = count > 0;
  find("cart-foot").hidden = count === 0;
  find("cart-total").textContent = cart === null ? "" : money(cart.total, cart.currency);
  fill(find("cart-lines"), (cart?.lines ?? []).map(row), { fallback: find("cart-heading") });
}

function row(line) {
  const name = line.name || nameOf(line.product);
  const control = (key, label, text, step, look) =>
    el("button", {
      type: "button", class: look, "aria-label": `${label} ${name}`, "data-focus": `${key} ${line.product}`,
      onclick: (event) => once(event.currentTarget, () => change(line.product, step)),
    }, text);
  return el("li", { class: "line" },
    el("img", { src: pictureOf(line.product), alt: "", width: 64, height: 64 }),
    el("div", { class: "line-text" },
      el("span", { class: "line-name" }, name),
      el("span", { class: "fine" }, `${money(line.each, line.currency ?? cart.currency)} each`),
      control("remove", "Remove", "Remove", 0, "link")),
    el("div", { class: "stepper" },
      control("less", "One less of", "−", -1, "step"),
      el("output", { "aria-label": `Quantity of ${name}` }, String(line.quantity)),
      control("more", "One more of", "+", 1, "step")));
}

function address(form, type) {
  const { firstName, lastName, street, streetNumber, zipCode, city, country } = form;
  return { contactName: `${firstName} ${lastName}`, street, streetNumber, zipCode, city, country, type };
}

async function order(form) {
  if (cart === null) throw new Error("Your cart is empty by now.");
  const customer = { firstName: form.firstName, lastName: form.lastName, email: form.email };
  const response = await call("POST", `/api/checkout/${config.tenant}/checkouts/order?${site()}`, {
    cartId: cart.id,
    currency: cart.currency,
    customer: session.isCustomer() ? customer : { ...customer, guest: true },
    addresses: [address(form, "SHIPPING"), address(form, "BILLING")],
    shipping: { methodId: "standard", zoneId: "main", methodName: "Standard", amount: 0 },
    paymentMethods: [{ provider: "custom", method: "invoice", amount: cart.total }],
  });
  show(null);
  find("checkout-form").hidden = true;
  find("checkout-thanks").hidden = false;
  find("order-number").textContent = String(response?.orderId ?? "");
  find("order-number").focus();
}

function openCheckout(profile) {
  if (cart === null) return;
  find("cart-dialog").close();
  const form = find("checkout-form");
  form.hidden = false;
  find("checkout-thanks").hidden = true;
  const known = profile ?? { firstName: "Robin", lastName: "Example", email: "robin@example.com" };
  for (const name of ["firstName", "lastName", "email"]) form.elements[name].value = known[name];
  find("checkout-who").textContent = session.isCustomer() ? `You order as ${known.email}.` : "You order as a guest.";
  find("checkout-total").textContent = money(cart.total, cart.currency);
  openDialog("checkout-dialog");
}

export function wire(settings, currentProfile) {
  config = settings;
  onClick("cart-open", () => {
    openDialog("cart-dialog");
  });
  onClick("checkout-open", () => openCheckout(currentProfile()));
  onSubmit("checkout-form", (form) => enqueue(() => order(form)));
}
