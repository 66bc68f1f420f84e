// The panel "Under the counter": what scripts can read in this browser and what Redis stores, updated after each request.

import { bus, call } from "./api.js";
import { duration, el, facts, find, onClick } from "./dom.js";
import * as session from "./session.js";

const CALLS_KEPT = 20;
const SETTLE_MS = 150;

const calls = [];
let previousPreviews = new Map(); // Redis key → start of its value at the last refresh
let timer = 0;
let first = true;

function readBrowser() {
  const cookies = document.cookie === "" ? [] : document.cookie.split(";");
  return { cookies: cookies.length, local: localStorage.length, tab: sessionStorage.length };
}

function entries(count) {
  return count === 1 ? "1 entry" : `${count} entries`;
}

function until(date) {
  if (date === null) return "–";
  const seconds = (Date.parse(date) - Date.now()) / 1000;
  return seconds <= 0 ? "now" : `in ${duration(seconds)}`;
}

function drawBrowser() {
  const { cookies, local, tab } = readBrowser();
  const view = session.current();
  const visible = cookies === 0 ? "none" : `${cookies}`;
  facts(find("browser-facts"), [
    ["document.cookie", view.kind === "none" ? visible : `${visible}: the session cookie is HttpOnly`],
    ["localStorage", entries(local)],
    ["sessionStorage", entries(tab)],
    ["Emporix tokens", "none, ever"],
  ]);
  facts(find("session-facts"), [
    ["kind", el("span", { class: `kind ${view.kind}` }, view.kind)],
    ["customer", view.customer?.email ?? "–"],
    ["legalEntityId", view.legalEntityId ?? "–"],
    ["version", view.version ?? "–"],
    ["idle expiry", until(view.idleExpiresAt)],
    ["absolute expiry", until(view.expiresAt)],
  ]);
}

/** The kind of a key. Only session records have a preview; the record of an ended session has an empty one. */
function kindOf({ key, type, preview }) {
  if (type !== "other") return preview === "" ? "ended session" : type;
  if (key.endsWith(":lock")) return "lock";
  if (key.endsWith(":claim")) return "used SSO state";
  return key.includes(":of:") ? "index" : "other";
}

function group({ type, preview }) {
  return type === "other" ? 2 : Number(preview === "");
}

function sessionsFirst(one, other) {
  return group(one) - group(other) || (one.key < other.key ? -1 : 1);
}

function summarize(rows) {
  if (rows.length === 0) return "Nothing at all.";
  const [sessions, ended, others] = [0, 1, 2].map((wanted) => rows.filter((one) => group(one) === wanted).length);
  const parts = [`${sessions} ${sessions === 1 ? "session" : "sessions"}`];
  if (ended > 0) parts.push(`${ended} ended`);
  if (others > 0) parts.push(`${others} other ${others === 1 ? "key" : "keys"}`);
  return `${parts.join(", ")}.`;
}

function redisRow(one, state) {
  const preview = one.preview === "" ? "–" : el("code", { title: one.preview }, one.preview);
  return el("tr", { class: state },
    el("th", { scope: "row" }, el("code", { title: one.key }, one.key)),
    el("td", {}, kindOf(one)),
    el("td", {}, duration(one.ttlSeconds)),
    el("td", {}, one.preview === "" ? "–" : String(one.bytes)),
    el("td", {}, preview, state === null ? null : el("span", { class: "mark" }, state)));
}

function drawRedis(found) {
  const rows = found.filter((one) => one.ttlSeconds !== -2).sort(sessionsFirst); // -2: expired while it was read
  const previews = new Map(rows.map((one) => [one.key, one.preview]));
  const state = (one) => (first || previousPreviews.get(one.key) === one.preview ? null : previousPreviews.has(one.key) ? "changed" : "new");
  find("redis-rows").replaceChildren(...rows.map((one) => redisRow(one, state(one))));
  const removed = first ? 0 : [...previousPreviews.keys()].filter((key) => !previews.has(key)).length;
  find("redis-note").textContent = removed === 0 ? summarize(rows) : `${summarize(rows)} ${removed} removed since the last refresh.`;
  previousPreviews = previews;
  first = false;
}

/** Shortens long ids, so that the rest of the path stays visible. */
function short(path) {
  const [pathname, query] = path.split("?");
  const cut = pathname.replace(/[^/]{17,}/g, (part) => (/\d/.test(part) ? `${part.slice(0, 6)}…` : part));
  return query === undefined ? cut : `${cut}?…`;
}

function drawCalls() {
  find("call-rows").replaceChildren(...calls.map((one) =>
    el("tr", {},
      el("th", { scope: "row" }, el("code", { title: `${one.method} ${one.path}` }, el("b", {}, one.method), ` ${short(one.path)}`)),
      el("td", { class: one.status >= 200 && one.status < 400 ? "fine-status" : "bad-status" }, one.status === 0 ? "no response" : String(one.status)),
      el("td", {}, one.version ?? "–"))));
}

function drawSummary(redisKeys) {
  const { cookies, local, tab } = readBrowser();
  const readable = cookies + local + tab;
  const { kind } = session.current();
  const visitor = { none: "no session", anonymous: "guest", customer: "customer" }[kind] ?? kind;
  const redis = redisKeys === null ? "Redis not seen" : `${redisKeys} ${redisKeys === 1 ? "key" : "keys"} in Redis`;
  find("counter-summary").textContent = `${visitor} · ${readable} readable here · ${redis}`;
}

export async function refresh() {
  const [, rows] = await Promise.allSettled([session.load(), call("GET", "/demo/redis", undefined, { quiet: true })]);
  drawBrowser();
  if (rows.status === "fulfilled") drawRedis(rows.value);
  else find("redis-note").textContent = `Redis cannot be read: ${rows.reason.message}`;
  drawSummary(rows.status === "fulfilled" ? rows.value.length : null);
}

function setOpen(open) {
  find("counter-toggle").setAttribute("aria-expanded", String(open));
  find("counter-body").hidden = !open;
  document.documentElement.toggleAttribute("data-counter-open", open);
}

export function wire() {
  bus.addEventListener("response", ({ detail }) => {
    if (detail.quiet) return;
    calls.unshift(detail);
    calls.length = Math.min(calls.length, CALLS_KEPT);
    drawCalls();
    clearTimeout(timer);
    timer = setTimeout(refresh, SETTLE_MS);
  });
  bus.addEventListener("view", drawBrowser);
  find("counter-toggle").addEventListener("click", () => setOpen(find("counter-body").hidden));
  onClick("counter-refresh", refresh);
  setOpen(matchMedia("(min-width: 62rem) and (min-height: 44rem)").matches);
  drawBrowser();
}
