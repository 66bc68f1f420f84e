// Puts the page together: wires the parts, makes the first calls, and follows the session.

import * as account from "./account.js";
import { bus, call } from "./api.js";
import * as cart from "./cart.js";
import * as catalogue from "./catalogue.js";
import { find, openDialog, say, sayError, wireDialogs } from "./dom.js";
import * as panel from "./panel.js";
import * as session from "./session.js";
import * as signOn from "./sign-on.js";

const LOST = {
  session_expired: "Your session has ended. You go on as a guest.",
  no_session: "The server no longer knows your session. You go on as a guest.",
};

function follow({ previous, view, cause }) {
  if (cause === "elsewhere") tell(previous, view);
  const onlyBecameGuest = previous.kind === "none" && view.kind === "anonymous";
  if (onlyBecameGuest && cause === "own") return void account.reload().catch(sayError);
  account.reload().catch(sayError);
  cart.reload().catch(sayError);
  if (cause !== "first" && !onlyBecameGuest) catalogue.loadPrices().catch(sayError);
}

function tell(previous, view) {
  if (view.kind === "customer" && previous.customer?.email !== view.customer?.email) {
    say(`You are now logged in as ${view.customer?.email}: it happened in another tab or window.`);
  } else if (previous.kind === "customer" && view.kind !== "customer") {
    find("account-dialog").close();
    say("You are no longer logged in: it happened in another tab, another device or on the server.", "bad");
  }
}

function react({ code }) {
  if (code === "login_required") openDialog("account-dialog");
  if (code === "session_rotated") session.look().catch(sayError);
}

async function start() {
  wireDialogs();
  panel.wire();
  signOn.tellRefusal();
  bus.addEventListener("session", ({ detail }) => follow(detail));
  bus.addEventListener("session-lost", ({ detail }) => say(LOST[detail.code], "bad"));
  bus.addEventListener("refused", ({ detail }) => react(detail));
  const config = await call("GET", "/demo/config.json", undefined, { quiet: true });
  session.useSite(config.site);
  account.wire(config);
  signOn.wire(config.sso);
  cart.wire(config, account.profileNow);
  catalogue.wire(cart.add);
  await Promise.allSettled([session.look({ slide: true }), catalogue.load(config)]);
}

start().catch(sayError);
