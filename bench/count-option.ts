/** What `--NAME` was given as: a whole number from 1. Anything else is an error that says so. */
export function countOption(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new Error(`--${name} ${text}: allowed: whole numbers from 1`);
  }
  return Number(text);
}
