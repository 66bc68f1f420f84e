// Sends every request of this page: adds the required headers and parses every kind of response.

const DEADLINE_MS = 20_000;
const SESSION_LOST = new Set(["invalid_session", "no_session", "session_expired"]);

/**
 * Events: "response" after each request, "request-failed" after a failed one, "session-lost" when the server no longer
 * has the session; and the events of session.js.
 */
export const bus = new EventTarget();

export function emit(name, detail = {}) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
}

/** An error response. `code` is stable and for programs, `message` is for people. */
export class ApiError extends Error {
  constructor(status, code, message, requestId = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.reported = false;
  }
}

/**
 * Sends a request and returns the parsed body of the response, or null without a body.
 * A `quiet` request is not listed in the panel.
 */
export async function call(method, path, body, { quiet = false } = {}) {
  const headers = { Accept: "application/json", "Accept-Language": "en", "X-CSRF": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(method, path, headers, body, quiet);
  const version = response.headers.get("X-Session-Version");
  const content = await read(response);
  const error = response.ok ? null : toApiError(response, content);
  if (error !== null && response.status === 401 && SESSION_LOST.has(error.code)) {
    error.reported = true;
    emit("session-lost", { code: error.code });
  }
  emit("response", { method, path, status: response.status, version, quiet });
  if (error === null) return content;
  emit("request-failed", { code: error.code });
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
    emit("response", { method, path, status: 0, version: null, quiet });
    const timeout = cause instanceof DOMException && cause.name === "TimeoutError";
    const message = timeout ? "The shop took too long to respond." : "The shop cannot be reached.";
    throw new ApiError(0, timeout ? "timeout" : "unreachable", message);
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

/** Reads problem details (RFC 9457) and the error formats of the Emporix services. */
function toApiError(response, content) {
  const plain = (response.headers.get("Content-Type") ?? "").startsWith("text/plain");
  const body = content !== null && typeof content === "object" ? content : { detail: plain ? content : undefined };
  const problem = (response.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
  const code = problem && typeof body.code === "string" ? body.code : "upstream";
  const text = body.detail ?? body.message ?? body.fault?.faultstring ?? body.title ?? `The shop responded with ${response.status}.`;
  const wait = Number(response.headers.get("Retry-After"));
  const again = wait > 0 ? ` Try again in ${wait} s.` : "";
  const sentence = String(text).trim().replace(/([^.!?])$/, "$1.");
  return new ApiError(response.status, code, sentence + again, body.requestId ?? null);
}
