/** JSON merge patches, RFC 7396. Pure. */

/**
 * Apply a patch: null removes a key, an object is merged, everything else replaces.
 *
 * An object that is changed is replaced by a new one, so that equal references mean equal values.
 */
export function merge(target, patch) {
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    // defineProperty: a function may be called "__proto__".
    else Object.defineProperty(result, key, { value: merge(own(result, key), value), ...PLAIN });
  }
  return result;
}

const PLAIN = { writable: true, enumerable: true, configurable: true };

/** The value of a key that the object itself has. */
export function own(object, key) {
  return object != null && Object.hasOwn(object, key) ? object[key] : undefined;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
