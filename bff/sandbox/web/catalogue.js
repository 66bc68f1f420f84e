// The products. All requests use public routes, so browsing the catalogue needs no session.

import { call } from "./api.js";
import { el, fill, find, money, onSubmit, openDialog, notify } from "./dom.js";
import * as shapes from "./shapes.js";

const PAGE_SIZE = 50; // the maximum of one price request

let tenant = "";
let products = [];
let prices = new Map();
let chosen = ""; // id of the category shown, "" for all
const members = new Map(); // category id → set of product ids
let shown = null;

export function priceOf(productId) {
  return prices.get(productId);
}

export function nameOf(productId) {
  return products.find((one) => one.id === productId)?.name ?? productId;
}

export function pictureOf(productId) {
  return `/pictures/${encodeURIComponent(productId)}.svg`;
}

export async function load(config) {
  tenant = config.tenant;
  find("products").setAttribute("aria-busy", "true");
  fill(find("grid"), Array.from({ length: 8 }, () => el("li", { class: "card ghost", "aria-hidden": "true" })));
  try {
    const response = await call("GET", `/api/product/${tenant}/products?pageSize=${PAGE_SIZE}`);
    products = shapes.list(response).map(shapes.product);
    draw();
    await Promise.allSettled([loadPrices(), loadCategories()]);
  } catch (error) {
    fill(find("grid"), [
      el("li", { class: "notice" }, el("p", { role: "alert" }, `The products could not be loaded: ${error.message}`),
        el("button", { type: "button", class: "quiet", onclick: () => load(config) }, "Try again")),
    ]);
  } finally {
    find("products").removeAttribute("aria-busy");
  }
}

/** Loads the prices for this session; another session may have other prices. */
export async function loadPrices() {
  if (products.length === 0) return;
  const items = products.map((one) => ({
    itemId: { itemType: "PRODUCT", id: one.id },
    quantity: { quantity: 1, unitCode: "pc" },
  }));
  const response = await call("POST", `/api/price/${tenant}/match-prices-by-context`, { items });
  prices = new Map(shapes.list(response).map(shapes.price).map((one) => [one.product, one]));
  draw();
}

async function loadCategories() {
  const response = await call("GET", `/api/category/${tenant}/categories?pageSize=${PAGE_SIZE}`);
  const all = shapes.list(response).map(shapes.category);
  const categories = all.filter((one) => !all.some((other) => other.parent === one.id));
  const chip = (id, name) =>
    el("label", { class: "chip" },
      el("input", { type: "radio", name: "category", value: id, checked: id === chosen, onchange: () => choose(id) }),
      el("span", {}, name));
  const box = find("categories");
  box.replaceChildren(box.querySelector("legend"), chip("", "Everything"), ...categories.map((one) => chip(one.id, one.name)));
  box.hidden = categories.length === 0;
}

async function choose(categoryId) {
  chosen = categoryId;
  if (categoryId !== "" && !members.has(categoryId)) {
    try {
      const path = `/api/category/${tenant}/categories/${encodeURIComponent(categoryId)}/assignments?pageSize=${PAGE_SIZE}`;
      members.set(categoryId, new Set(shapes.list(await call("GET", path)).map(shapes.assigned)));
    } catch (error) {
      notify(error.message, "bad");
      return;
    }
  }
  draw();
}

function draw() {
  const wanted = chosen === "" ? null : members.get(chosen);
  if (wanted === undefined) return;
  const visible = products.filter((one) => wanted === null || wanted.has(one.id));
  fill(find("grid"), visible.map(card));
  find("products-found").textContent = `${visible.length} products`;
}

function card(one) {
  return el("li", { class: "card" },
    el("button", { type: "button", class: "card-open", "data-focus": one.id, "aria-haspopup": "dialog", onclick: () => open(one) },
      el("img", { src: pictureOf(one.id), alt: "", width: 320, height: 320, loading: "lazy" }),
      el("span", { class: "card-name" }, one.name),
      priceTag(one.id)));
}

function priceTag(productId) {
  const price = prices.get(productId);
  if (price === undefined) return el("span", { class: "price" }, "…");
  const now = money(price.amount, price.currency);
  if (!(price.original > price.amount)) return el("span", { class: "price" }, now);
  return el("span", { class: "price" },
    el("s", {}, el("span", { class: "visually-hidden" }, "before "), money(price.original, price.currency)),
    el("span", { class: "visually-hidden" }, " now "), " ", now);
}

function open(one) {
  shown = one;
  find("product-picture").src = pictureOf(one.id);
  find("product-name").textContent = one.name;
  find("product-description").textContent = one.description;
  find("product-code").textContent = `Article ${one.code}`;
  find("product-price").replaceChildren(priceTag(one.id));
  find("product-quantity").value = "1";
  openDialog("product-dialog");
}

export function wire(add) {
  onSubmit("product-form", async ({ quantity }) => {
    const one = shown;
    await add(one.id, Number(quantity));
    notify(`${one.name} is in your cart.`);
  });
}
