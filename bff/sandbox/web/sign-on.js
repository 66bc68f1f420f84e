// Signing in with an identity provider: a link that leaves the page, and what the way back says.

import { el, find, say } from "./dom.js";

const PARAMETER = "sso_error";
const REFUSALS = {
  access_denied: "You cancelled the sign-in. You are who you were before.",
  login_state_invalid: "That sign-in was used before, or it took too long. Please start again.",
  too_many_requests: "There were too many sign-ins. Please wait a minute.",
};
const OTHERWISE = "The sign-in did not work. Please try again.";

/** Says once why a sign-on came to nothing; only words of this page are shown, whatever the address holds. */
export function tellRefusal() {
  const address = new URL(location.href);
  const code = address.searchParams.get(PARAMETER);
  if (code === null) return;
  address.searchParams.delete(PARAMETER);
  history.replaceState(history.state, "", `${address.pathname}${address.search}${address.hash}`);
  say(Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : OTHERWISE, "bad");
}

/** Offers each provider as a link, because a sign-on is a navigation. */
export function wire(names) {
  find("sign-on").replaceChildren(...names.map((name) =>
    el("a", { class: "quiet", href: `/auth/sso/${encodeURIComponent(name)}?return_to=/` }, `Sign in with ${name}`)));
  find("sign-on").hidden = names.length === 0;
}
