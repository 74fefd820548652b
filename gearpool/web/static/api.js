/** Requests to the daemon. The token is kept for this tab and sent only to where the page came from. */

const KEY = "gearpool.token";
const READ_MS = 15_000;
const CHANGE_MS = 30_000;
const RELOAD_MS = 310_000; // the daemon gives up after 300 s

/** The daemon refused, or did not answer (status 0). */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

/** Whether there is a token. It may be wrong. */
export function hasToken() {
  return token !== null;
}

/** Keep a token for this tab. */
export function keepToken(value) {
  token = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // then it is kept until the page is closed
  }
}

/** The response of a GET; its body may still be coming. */
export async function open(path, signal) {
  return await request(path, { signal, headers: authorization(token) });
}

/** The JSON answer of a GET. */
export async function get(path) {
  return await body(await open(path, AbortSignal.timeout(READ_MS)));
}

/**
 * The result of a change. A token that was accepted is kept, one that was refused is not.
 *
 * @param {string} path such as "api/pause"
 * @param {object} value the body
 * @param {?string} candidate a token to use instead of the one that is kept
 */
export async function post(path, value, candidate = null) {
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization(candidate ?? token) },
    body: JSON.stringify(value),
    signal: AbortSignal.timeout(path === "api/reload" ? RELOAD_MS : CHANGE_MS),
  });
  const answer = await body(response);
  if (candidate !== null) keepToken(candidate);
  return answer.result;
}

function authorization(value) {
  return value === null ? {} : { Authorization: `Bearer ${value}` };
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, error.name === "TimeoutError" ? "the daemon did not answer in time" : "no connection to the daemon");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ApiError(response.status, answer.error ?? `${response.status} ${response.statusText}`);
}

async function body(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "the answer was cut off or is not JSON");
  }
}
