// Login with an identity provider (SSO): the links that leave the page, and the error after the way back.

import { el, find, notify } from "./dom.js";

const PARAMETER = "sso_error";
const REFUSALS = {
  access_denied: "You cancelled the sign-in. You are who you were before.",
  login_state_invalid: "That sign-in was used before, or it took too long. Please start again.",
  too_many_requests: "There were too many sign-ins. Please wait a minute.",
};
const OTHER_REFUSAL = "The sign-in did not work. Please try again.";

/** Shows once why an SSO login failed. Only texts of this page are shown, never a text from the URL. */
export function notifyRefusal() {
  const url = new URL(location.href);
  const code = url.searchParams.get(PARAMETER);
  if (code === null) return;
  url.searchParams.delete(PARAMETER);
  history.replaceState(history.state, "", `${url.pathname}${url.search}${url.hash}`);
  notify(Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : OTHER_REFUSAL, "bad");
}

/** Shows a link for each provider; an SSO login is a navigation, not a request of this page. */
export function wire(names) {
  find("sign-on").replaceChildren(...names.map((name) =>
    el("a", { class: "quiet", href: `/auth/sso/${encodeURIComponent(name)}?return_to=/` }, `Sign in with ${name}`)));
  find("sign-on").hidden = names.length === 0;
}
