// The session as the page may know it. The page keeps it in memory only and asks again when in doubt.

import { bus, call, emit } from "./api.js";

const NONE = Object.freeze({
  kind: "none", customer: null, legalEntityId: null, initialPassword: false,
  version: null, createdAt: null, idleExpiresAt: null, expiresAt: null,
});

let view = NONE;
let site = "main";
let actions = 0; // own login, logout … under way: what a look sees meanwhile is already old
let epoch = 0; // grows with each own action, so that a look from before it is dropped
let looks = 0;
let newestLook = 0;
let starting = null;

export function current() {
  return view;
}

export function isCustomer() {
  return view.kind === "customer";
}

export function useSite(code) {
  site = code;
}

function who(one) {
  return JSON.stringify([one.kind, one.version, one.createdAt, one.customer?.email ?? null, one.legalEntityId]);
}

/** Takes a new view; "session" says that the visitor is another one or stands elsewhere than before. */
function accept(next, cause) {
  const previous = view;
  view = { ...NONE, ...next };
  emit("view");
  if (who(previous) !== who(view)) emit("session", { previous, view, cause });
}

async function act(method, path, body) {
  actions += 1;
  epoch += 1;
  try {
    const answer = await call(method, path, body);
    accept(answer ?? NONE, "own");
    return view;
  } finally {
    actions -= 1;
    epoch += 1;
  }
}

/** Asks what the session is. Only the first look of a page counts as a visit that keeps the session alive. */
export async function look({ slide = false } = {}) {
  const number = ++looks;
  const seen = epoch;
  const next = await call("GET", `/auth/session${slide ? "" : "?slide=false"}`, undefined, { quiet: !slide });
  if (actions > 0 || seen !== epoch || number < newestLook) return view;
  newestLook = number;
  accept(next, slide ? "first" : "elsewhere");
  return view;
}

/** Makes a guest once, before the calls that need one: requests that raced would get a guest each. */
export function ensure() {
  if (view.kind !== "none") return Promise.resolve(view);
  starting ??= act("POST", "/auth/anonymous", { siteCode: site }).finally(() => {
    starting = null;
  });
  return starting;
}

export async function login(email, password) {
  return act("POST", "/auth/login", { email, password });
}

export async function logout() {
  return act("POST", "/auth/logout");
}

export async function refresh() {
  return act("POST", "/auth/refresh");
}

export async function switchCompany(legalEntityId) {
  return act("PUT", "/auth/legal-entity", { legalEntityId });
}

export async function signup({ email, password, firstName, lastName }) {
  await call("POST", "/auth/signup", { email, password, customerDetails: { contactEmail: email, firstName, lastName } });
  return login(email, password);
}

bus.addEventListener("session-lost", () => {
  epoch += 1;
  accept(NONE, "lost");
});

// Another tab shares the cookie. What it did to the session shows as another version on the next answer here.
bus.addEventListener("answered", ({ detail }) => {
  if (detail.quiet || detail.version === null || actions > 0) return;
  if (Number(detail.version) !== Number(view.version)) look().catch(() => {});
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") look().catch(() => {});
});
