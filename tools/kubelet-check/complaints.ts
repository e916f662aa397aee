/**
 * Kinds of errors and warnings in a part of kubelet's log, each once, sorted: place and message
 * without what differs from one line to the next. Lines are in klog's format:
 * `E1129 10:00:00.000000  123 file.go:45] "message" key="value"`.
 */
export function complaints(log: string): string[] {
  const kinds = new Set<string>();
  for (const line of log.split('\n')) {
    const match = /^([EW])\d{4} [0-9:.]+ +\d+ ([\w.-]+\.go):\d+\] (.*)$/.exec(line);
    if (match == null) continue;
    const [, severity = '', file = '', text = ''] = match;
    const message = /^"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text;
    if (ofLoad.test(message) || ofChance.test(text)) continue;
    kinds.add(`${severity} ${file}: ${withoutValues(message)}`);
  }
  return [...kinds].sort();
}

/** What kubelet says where the machine has much to do. */
const ofLoad = /took longer than expected|Slow|PLEG is not healthy/;

/**
 * What kubelet meets on every way, but not in every run: a call for the node's status that it gives
 * up itself, a container that it has removed since it listed it, and a control group that is gone
 * before it is watched.
 */
const ofChance = new RegExp(
  [
    '^"Version from runtime service failed" .*desc = context canceled"',
    '^"ContainerStatus from runtime service failed" .*code = NotFound',
    '^Error while processing event .*: inotify_add_watch .*: no such file or directory',
  ].join('|'),
);

const withoutValues = (text: string): string =>
  text
    .replace(/\\"[^"]*\\"|"[^"]*"/g, '"…"')
    .replace(/\b[0-9a-f]{12,}\b/g, '…')
    .replace(/\d+/g, 'N')
    .slice(0, 160);
