/** Text that is not base64; `byteIndex` is where, in bytes of its UTF-8 form. */
export class Base64Error extends Error {
  override readonly name = 'Base64Error';

  constructor(readonly byteIndex: number) {
    super(`illegal base64 data at input byte ${byteIndex}`);
  }
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const valueOf = new Map([...Buffer.from(alphabet)].map((byte, value) => [byte, value]));
const padding = 0x3d;
const isLineBreak = (byte: number | undefined): boolean => byte === 0x0a || byte === 0x0d;

/**
 * Decodes standard base64 with Go's rules: CR and LF are skipped anywhere, nothing else is; unused
 * bits at the end are ignored. `padded` says whether the last group must be (true) or must not be
 * (false) filled up with `=`. Throws Base64Error with the index Go would name.
 */
export function decodeBase64(text: string, padded: boolean): Buffer {
  const input = Buffer.from(text, 'utf8');
  const output: number[] = [];
  /** The group of up to four characters being read: its bits, and how many characters it has. */
  let bits = 0;
  let count = 0;
  let at = 0;
  for (; at < input.length; at++) {
    const byte = input[at] ?? 0;
    const value = valueOf.get(byte);
    if (value != null) {
      bits = (bits << 6) | value;
      count++;
      if (count === 4) {
        output.push((bits >> 16) & 0xff, (bits >> 8) & 0xff, bits & 0xff);
        bits = 0;
        count = 0;
      }
    } else if (!isLineBreak(byte)) {
      if (byte !== padding || !padded || count < 2) throw new Base64Error(at);
      checkPadding(input, at, count);
      break;
    }
  }
  if (count === 1 || (count > 0 && padded && at === input.length)) {
    throw new Base64Error(input.length - count);
  }
  if (count === 2) output.push((bits >> 4) & 0xff);
  if (count === 3) output.push((bits >> 10) & 0xff, (bits >> 2) & 0xff);
  return Buffer.from(output);
}

/**
 * Checks what follows from the first `=` (at `start`) on, after a group of two or three characters.
 */
function checkPadding(input: Buffer, start: number, count: number): void {
  let at = start + 1;
  const skipLineBreaks = (): void => {
    while (isLineBreak(input[at])) at++;
  };
  if (count === 2) {
    skipLineBreaks();
    if (at === input.length) throw new Base64Error(at);
    if (input[at] !== padding) throw new Base64Error(at - 1);
    at++;
  }
  skipLineBreaks();
  if (at < input.length) throw new Base64Error(at);
}
