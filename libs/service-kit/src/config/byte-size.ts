const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/**
 * Bytes of a Kubernetes quantity: `500M`, `1Gi`, `1.5Gi`, `1048576`. Undefined when the text is
 * none.
 */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?B?$/.exec(text);
  if (match == null) return undefined;
  return Math.round(Number(match[1]) * (byteUnits[match[2] ?? ''] ?? 1));
}

/** A byte count as a Kubernetes quantity where one fits without a rest, else as plain digits. */
export function formatByteSize(sizeBytes: number): string {
  for (const unit of ['Ti', 'Gi', 'Mi', 'Ki']) {
    const factor = byteUnits[unit] ?? 1;
    if (sizeBytes >= factor && sizeBytes % factor === 0) return `${sizeBytes / factor}${unit}`;
  }
  return String(sizeBytes);
}
