// The one way from this page to the server: it adds what every call needs and reads every kind of answer.

const DEADLINE_MS = 20_000;
const SESSION_IS_GONE = new Set(["no_session", "session_expired"]);

/**
 * "answered" after each call, "refused" after one that failed, "session-lost" when the server no longer knows
 * this visitor; and those of session.js.
 */
export const bus = new EventTarget();

export function emit(name, detail = {}) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
}

/** A refusal. `code` is stable and for programs, `message` is for people. */
export class ApiError extends Error {
  constructor(status, code, message, requestId = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.told = false;
  }
}

/**
 * Sends one request and returns the parsed answer, null where there is none.
 * `quiet` keeps the call out of the log of calls.
 */
export async function call(method, path, body, { quiet = false } = {}) {
  const headers = { Accept: "application/json", "Accept-Language": "en", "X-CSRF": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(method, path, headers, body, quiet);
  const version = response.headers.get("X-Session-Version");
  const answer = await read(response);
  const error = response.ok ? null : refusal(response, answer);
  if (error !== null && response.status === 401 && SESSION_IS_GONE.has(error.code)) {
    error.told = true;
    emit("session-lost", { code: error.code });
  }
  emit("answered", { method, path, status: response.status, version, quiet });
  if (error === null) return answer;
  emit("refused", { code: error.code });
  throw error;
}

async function send(method, path, headers, body, quiet) {
  try {
    return await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch (cause) {
    emit("answered", { method, path, status: 0, version: null, quiet });
    const late = cause instanceof DOMException && cause.name === "TimeoutError";
    throw new ApiError(0, late ? "timeout" : "unreachable", late ? "The shop took too long to answer." : "The shop cannot be reached.");
  }
}

async function read(response) {
  const text = await response.text().catch(() => "");
  if (text === "") return null;
  if (!/[/+]json\b/.test(response.headers.get("Content-Type") ?? "")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Reads problem details (RFC 9457) and the error shapes of the Emporix services. */
function refusal(response, answer) {
  const plain = (response.headers.get("Content-Type") ?? "").startsWith("text/plain");
  const said = answer !== null && typeof answer === "object" ? answer : { detail: plain ? answer : undefined };
  const problem = (response.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
  const code = problem && typeof said.code === "string" ? said.code : "upstream";
  const text = said.detail ?? said.message ?? said.fault?.faultstring ?? said.title ?? `The shop answered ${response.status}.`;
  const wait = Number(response.headers.get("Retry-After"));
  const again = wait > 0 ? ` Try again in ${wait} s.` : "";
  const sentence = String(text).trim().replace(/([^.!?])$/, "$1.");
  return new ApiError(response.status, code, sentence + again, said.requestId ?? null);
}
