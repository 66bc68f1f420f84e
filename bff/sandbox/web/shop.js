// The main module: connects the parts of the page, sends the first requests, and reacts to changes of the session.

import * as account from "./account.js";
import { bus, call } from "./api.js";
import * as assisted from "./assisted.js";
import * as cart from "./cart.js";
import * as catalogue from "./catalogue.js";
import { find, openDialog, notify, notifyError, wireDialogs } from "./dom.js";
import * as panel from "./panel.js";
import * as session from "./session.js";
import * as signOn from "./sign-on.js";

const SESSION_LOST = {
  session_expired: "Your session has ended. You go on as a guest.",
  no_session: "The server no longer knows your session. You go on as a guest.",
};

function onSessionChange({ previous, view, cause }) {
  if (cause === "elsewhere") notifyChange(previous, view);
  const onlyBecameGuest = previous.kind === "none" && view.kind === "anonymous";
  if (onlyBecameGuest && cause === "own") return void account.reload().catch(notifyError);
  account.reload().catch(notifyError);
  cart.reload().catch(notifyError);
  if (cause !== "first" && !onlyBecameGuest) catalogue.loadPrices().catch(notifyError);
}

function notifyChange(previous, view) {
  if (view.kind === "customer" && previous.customer?.email !== view.customer?.email) {
    notify(`You are now logged in as ${view.customer?.email}: it happened in another tab or window.`);
  } else if (previous.kind === "customer" && view.kind !== "customer") {
    find("account-dialog").close();
    notify("You are no longer logged in: it happened in another tab, another device or on the server.", "bad");
  }
}

function onRequestFailed({ code }) {
  if (code === "login_required") openDialog("account-dialog");
  if (code === "session_rotated") session.load().catch(notifyError);
}

const handed = assisted.takeFromAddress();

async function start() {
  wireDialogs();
  panel.wire();
  signOn.notifyRefusal();
  bus.addEventListener("session", ({ detail }) => onSessionChange(detail));
  bus.addEventListener("session-lost", ({ detail }) => notify(SESSION_LOST[detail.code], "bad"));
  bus.addEventListener("request-failed", ({ detail }) => onRequestFailed(detail));
  const config = await call("GET", "/demo/config.json", undefined, { quiet: true });
  session.useSite(config.site);
  account.wire(config);
  signOn.wire(config.sso);
  cart.wire(config, account.currentProfile);
  catalogue.wire(cart.add);
  await Promise.allSettled([session.load({ slide: true }), catalogue.load(config)]);
  await assisted.offer(handed);
}

start().catch(notifyError);
