// The account dialog: login, sign-up, profile, company, orders, sessions, and actions on the session.

import { call } from "./api.js";
import { duration, el, facts, find, money, onClick, onSubmit, once, openDialog, notify, notifyError } from "./dom.js";
import * as session from "./session.js";
import * as shapes from "./shapes.js";

let config = { tenant: "" };
let profile = null;

export function currentProfile() {
  return profile;
}

function customerPath(path) {
  return `/api/customer/${config.tenant}/${path}`;
}

/** Updates the profile after a change of the session: loads it for a customer, clears it after a logout. */
export async function reload() {
  const email = session.current().customer?.email;
  if (!session.isCustomer()) profile = null;
  else if (profile?.email !== email) profile = { firstName: "", lastName: "", email, companies: [] };
  draw();
  if (!session.isCustomer()) return;
  const response = shapes.profile(await call("GET", customerPath("me")));
  if (session.current().customer?.email !== email) return;
  profile = { ...response, email: response.email || email };
  draw();
}

function draw() {
  const { kind, legalEntityId } = session.current();
  const customer = kind === "customer";
  find("account-guest").hidden = customer;
  find("account-customer").hidden = !customer;
  find("account-tools").hidden = kind === "none";
  find("logout").textContent = customer ? "Log out" : "End the guest session";
  const name = profile?.firstName || profile?.email || "Account";
  find("account-open").textContent = customer ? name : "Log in";
  find("account-heading").textContent = customer ? `Hello, ${name}` : "Welcome";
  find("validation").replaceChildren();
  if (!customer || profile === null) return;
  const form = find("profile-form");
  for (const field of ["firstName", "lastName"]) form.elements[field].value = profile[field];
  find("company-form").hidden = profile.companies.length === 0;
  find("company").replaceChildren(
    el("option", { value: "", selected: legalEntityId === null }, "Myself"),
    ...profile.companies.map((one) => el("option", { value: one.id, selected: one.id === legalEntityId }, one.name)));
}

async function drawOrders() {
  const place = find("orders");
  const orders = shapes.list(await call("GET", `/api/order-v2/${config.tenant}/orders?pageSize=10`)).map(shapes.order);
  place.replaceChildren(...orders.map((one) =>
    el("li", {}, el("span", {}, el("strong", {}, one.id), ` ${one.status.toLowerCase().replaceAll("_", " ")}`),
      el("span", {}, one.created === null ? "" : new Date(one.created).toLocaleDateString("en", { dateStyle: "medium" })),
      el("span", {}, money(one.total, one.currency)))));
  if (orders.length === 0) place.replaceChildren(el("li", { class: "fine" }, "None yet."));
}

async function drawSessions() {
  const sessions = shapes.list(await call("GET", "/auth/sessions"));
  find("sessions").replaceChildren(...sessions.map((one) =>
    el("li", {},
      el("span", {}, one.current ? "This browser" : deviceName(one)),
      el("span", {}, `since ${new Date(one.createdAt).toLocaleString("en", { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" })}`),
      one.current ? el("span", {}) : el("button", {
        type: "button", class: "link", onclick: (event) => once(event.currentTarget, async () => {
          await call("DELETE", `/auth/sessions/${encodeURIComponent(one.ref)}`);
          await drawSessions();
          notify("That session has ended.");
        }),
      }, "End it"))));
}

function deviceName({ carrier, userAgent }) {
  const browser = /(Firefox|Edg|Chrome|Safari)\//.exec(userAgent ?? "")?.[1];
  return `${carrier === "header" ? "An app" : "A browser"}${browser ? ` (${browser === "Edg" ? "Edge" : browser})` : ""}`;
}

function drawLists() {
  if (!session.isCustomer()) return;
  drawOrders().catch(notifyError);
  drawSessions().catch(notifyError);
}

function showForm(id) {
  find("login-form").hidden = id !== "login-form";
  find("signup-form").hidden = id !== "signup-form";
  find(id).querySelector("input").focus();
}

async function welcome(form) {
  form.reset();
  showForm("login-form");
  find("account-dialog").close();
  find("account-open").focus();
  notify(`You are logged in as ${session.current().customer?.email ?? "a customer"}.`);
}

function wireForms(demo) {
  onSubmit("login-form", async ({ email, password }, form) => {
    await session.login(email, password);
    await welcome(form);
  });
  onSubmit("signup-form", async (fields, form) => {
    await session.signup(fields);
    await welcome(form);
  });
  find("show-signup").addEventListener("click", () => showForm("signup-form"));
  find("show-login").addEventListener("click", () => showForm("login-form"));
  if (!demo?.email) return;
  find("demo-hint").hidden = false;
  find("demo-email").textContent = `(${demo.email})`;
  find("demo-fill").addEventListener("click", () => {
    const form = find("login-form");
    form.elements.email.value = demo.email;
    form.elements.password.value = demo.password;
    form.querySelector("[type=submit]").focus();
  });
}

function wireCustomer() {
  onSubmit("profile-form", async ({ firstName, lastName }) => {
    const metadata = profile.version === undefined ? undefined : { version: profile.version };
    await call("PATCH", customerPath("me"), { firstName, lastName, metadata });
    await reload();
    notify("Your name is saved.");
  });
  onSubmit("company-form", async ({ company }) => {
    await session.switchCompany(company === "" ? null : company);
    const name = profile.companies.find((one) => one.id === company)?.name ?? "yourself";
    notify(`You now buy for ${name}.`);
    drawLists();
  });
}

function wireTools() {
  onClick("refresh", async () => {
    await session.refresh();
    notify("The tokens are new. Your browser never sees them, and its cookie has not changed.");
  });
  onClick("validate", async () => {
    const response = await call("GET", "/auth/validate");
    const pairs = [["Kind", response.kind], ["Good for", duration(response.expiresIn)], ["Scope", response.scope]];
    if (response.email) pairs.push(["E-mail", response.email]);
    if (response.legalEntityId) pairs.push(["Company", response.legalEntityId]);
    facts(find("validation"), pairs);
    notify("Emporix says that the token is valid.");
  });
  onClick("logout", async () => {
    const customer = session.isCustomer();
    await session.logout();
    find("account-dialog").close();
    notify(customer ? "You are logged out." : "The guest session has ended.");
  });
}

export function wire(settings) {
  config = settings;
  onClick("account-open", () => {
    openDialog("account-dialog");
    drawLists();
  });
  wireForms(settings.demo);
  wireCustomer();
  wireTools();
}
