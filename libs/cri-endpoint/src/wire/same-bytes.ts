/** Whether `input[start, end)` has the bytes of `known[from, to)`. Quick for some hundred bytes. */
export function sameBytes(
  known: Uint8Array,
  from: number,
  to: number,
  input: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (to - from !== end - start) return false;
  for (let i = from, j = start; i < to; i++, j++) {
    if (known[i] !== input[j]) return false;
  }
  return true;
}
