/**
 * Texts of errors as kubelet joins them: one alone, several different ones in brackets, equal ones
 * once.
 */
export function joinMessages(messages: readonly string[]): string {
  const different = [...new Set(messages)];
  return different.length === 1 ? (different[0] ?? '') : `[${different.join(', ')}]`;
}
