/** Numbers as people read them, with their units. What is not known is a dash. Pure. */

export const UNKNOWN = "–";
const NARROW_SPACE = "\u202f";

/** 1240 → "1 240". */
export function count(value) {
  if (value == null) return UNKNOWN;
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
}

/** A number with three significant digits at most: 0.34, 12.4, 1 240. */
export function number(value) {
  if (value == null) return UNKNOWN;
  if (Math.abs(value) >= 100) return count(value);
  return String(Number(value.toPrecision(Math.abs(value) < 10 ? 2 : 3)));
}

/** Jobs a second. */
export function rate(value) {
  return value == null ? UNKNOWN : `${number(value)}/s`;
}

/** A duration in seconds: 84 ms, 5.1 s, 12 min, 3 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds == null) return UNKNOWN;
  if (seconds < 0) return `in ${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return `${number(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 1440) return pair(minutes, 60, "h", "min");
  return pair(Math.floor(minutes / 60), 24, "d", "h");
}

function pair(value, base, large, small) {
  const rest = value % base;
  return `${Math.floor(value / base)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

/** Bytes: 512 B, 34 MiB, 1.2 GiB. */
export function bytes(value) {
  if (value == null) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${number(value)} ${units[at]}`;
}

/** A share from 0 to 1: 34 %, 0.3 %. */
export function percent(share) {
  return share == null ? UNKNOWN : `${number(share * 100)} %`;
}

/** How long ago a time in seconds since the epoch was, seen from `now`. */
export function ago(time, now) {
  return time == null ? UNKNOWN : `${duration(Math.max(0, now - time))} ago`;
}

/** A time in seconds since the epoch as the local clock shows it. */
export function clock(time) {
  return new Date(time * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** "1 job", "12 jobs". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** "3 of 100"; without a limit just the number. */
export function ofLimit(value, limit) {
  return limit == null ? count(value) : `${count(value)} of ${count(limit)}`;
}
