// The session view. The page keeps it in memory only, and loads it again when it may have changed.

import { bus, call, emit } from "./api.js";

const NONE = Object.freeze({
  kind: "none", customer: null, legalEntityId: null, initialPassword: false,
  version: null, createdAt: null, idleExpiresAt: null, expiresAt: null,
});

let view = NONE;
let site = "main";
let runningActions = 0; // own login, logout and so on; a view loaded meanwhile may be outdated
let actionCount = 0; // changes with each own action, so that a view from before it is ignored
let loads = 0;
let newestLoad = 0;
let known = false; // whether the page has learned whose session it has; what it learns first is no change
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

function identity(one) {
  return JSON.stringify([one.kind, one.version, one.createdAt, one.customer?.email ?? null, one.legalEntityId]);
}

/** Stores a new view; emits "session" if the session is another one or its kind, customer or company has changed. */
function accept(next, cause) {
  const previous = view;
  view = { ...NONE, ...next };
  known = true;
  emit("view");
  if (identity(previous) !== identity(view)) emit("session", { previous, view, cause });
}

async function runAction(method, path, body) {
  runningActions += 1;
  actionCount += 1;
  try {
    const next = await call(method, path, body);
    accept(next ?? NONE, "own");
    return view;
  } finally {
    runningActions -= 1;
    actionCount += 1;
  }
}

/** Loads the session view. Only the first request of a page extends the idle lifetime of the session. */
export async function load({ slide = false } = {}) {
  const number = ++loads;
  const countBefore = actionCount;
  const next = await call("GET", `/auth/session${slide ? "" : "?slide=false"}`, undefined, { quiet: !slide });
  if (runningActions > 0 || countBefore !== actionCount || number < newestLoad) return view;
  newestLoad = number;
  accept(next, known ? "elsewhere" : "first");
  return view;
}

/** Starts a guest session once, before the requests that need one; concurrent requests would start several. */
export function ensure() {
  if (view.kind !== "none") return Promise.resolve(view);
  starting ??= runAction("POST", "/auth/anonymous", { siteCode: site }).finally(() => {
    starting = null;
  });
  return starting;
}

export async function login(email, password) {
  return runAction("POST", "/auth/login", { email, password });
}

export async function adopt(handed) {
  return runAction("POST", "/auth/adopt", handed);
}

export async function logout() {
  return runAction("POST", "/auth/logout");
}

export async function refresh() {
  return runAction("POST", "/auth/refresh");
}

export async function switchCompany(legalEntityId) {
  return runAction("PUT", "/auth/legal-entity", { legalEntityId });
}

export async function signup({ email, password, firstName, lastName }) {
  await call("POST", "/auth/signup", { email, password, customerDetails: { contactEmail: email, firstName, lastName } });
  return login(email, password);
}

bus.addEventListener("session-lost", () => {
  actionCount += 1;
  accept(NONE, "lost");
});

// Another tab shares the cookie. If it has changed the session, the next response here has another version.
bus.addEventListener("response", ({ detail }) => {
  if (detail.quiet || detail.version === null || runningActions > 0) return;
  if (Number(detail.version) !== Number(view.version)) load().catch(() => {});
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") load().catch(() => {});
});
