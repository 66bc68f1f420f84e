// Assisted buying: Emporix's dashboard opens the shop with a customer's tokens in its address.

import { find, notify, notifyError } from "./dom.js";
import * as session from "./session.js";

const NAMES = ["customerToken", "customerTokenExpiresIn", "saasToken"];

/** Takes the tokens out of the address, before anything else runs, so that neither history nor a `Referer` keeps them. */
export function takeFromAddress() {
  const url = new URL(location.href);
  const [customerToken, expiresIn, saasToken] = NAMES.map((name) => url.searchParams.get(name));
  if (!NAMES.some((name) => url.searchParams.has(name))) return null;
  NAMES.forEach((name) => url.searchParams.delete(name));
  history.replaceState(history.state, "", `${url.pathname}${url.search}${url.hash}`);
  return customerToken === null ? null : { customerToken, saasToken, expiresIn: Number.parseInt(expiresIn, 10) };
}

/** Asks first: anybody can make a link with tokens in it, and a link alone must log nobody in. */
export async function offer(handed) {
  if (handed === null) return;
  if (!window.confirm("This link logs you in as a customer, to shop for them. Go on?")) return;
  try {
    await session.adopt(handed);
    find("account-dialog").close();
    notify("You shop for a customer now. Log out when you are done.");
  } catch (error) {
    notifyError(error);
  }
}
