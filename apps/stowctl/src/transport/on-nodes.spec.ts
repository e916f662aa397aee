import { finding, type Finding } from '@stowage/status-view';
import { check } from '../commands/check';
import { nodes } from '../commands/nodes';
import { pause } from '../commands/pause';
import { pulls } from '../commands/pulls';
import type { Call } from '../command-line/define';
import { natsFindings } from '../doctor/nats-findings';
import { Output } from '../output/output';

jest.mock('../doctor/nats-findings');
const nats = jest.mocked(natsFindings);

/** A command over NATS, with --all, to a fleet of which no node is found. */
function call(text: Readonly<Record<string, string>> = {}, args: string[] = []) {
  const printed: string[] = [];
  const stream = { write: (line: string) => printed.push(line) };
  const made: Call = {
    args,
    flags: {
      has: (name) => name === 'all' || name in text,
      text: (name) => ({ server: 'nats://127.0.0.1:1', ...text })[name],
    },
    out: new Output({ format: 'table', stdout: stream, stderr: stream, colors: false }),
    signal: new AbortController().signal,
    env: { STOWCTL_CONTEXTS: '/nowhere' },
    open: () => Promise.resolve({ kind: 'nats', nodes: [], transport: {} as never }),
  };
  return { call: made, printed };
}
const noNode = /^there is no node to ask/;

describe('where --all finds no node', () => {
  beforeEach(() => nats.mockResolvedValue([]));

  it('a command that changes something fails', async () => {
    await expect(pause(call({ reason: 'because' }, ['30m']).call)).rejects.toThrow(noNode);
  });

  it('pulls are not followed', async () => {
    await expect(pulls(call({ watch: 'x' }).call)).rejects.toThrow(noNode);
  });

  it('monitoring is told that nothing is known', async () => {
    const { call: made, printed } = call();
    expect(await check(made)).toBe(3);
    expect(printed.join('')).toMatch(/^STOWAGE UNKNOWN - there is no node to ask/);
  });

  it('monitoring is told why, where NATS is the reason', async () => {
    const missing: Finding = finding('stream-missing', 'STOWAGE_EVENTS', 'there is no such stream');
    nats.mockResolvedValue([missing]);
    const { call: made, printed } = call();
    const open = () => Promise.reject(new Error('events cannot be read from stream'));
    expect(await check({ ...made, open })).toBe(missing.level === 'critical' ? 2 : 1);
    expect(printed.join('')).toContain('stream-missing');
  });

  it('the list of nodes says so', async () => {
    const { call: made, printed } = call();
    expect(await nodes(made)).toBe(0);
    expect(printed).toEqual(['no node has published events yet\n']);
  });
});
