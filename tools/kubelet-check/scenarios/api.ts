import { callWebSocket, type Channels } from '../web-socket';
import { Kubelet, type Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'api';
const name = 'served';
const page = 'a page\n';

/** Everything that kubelet's own API serves about containers. */
const pod = ({ images }: Lab): Pod => ({
  metadata: { name, namespace },
  spec: {
    terminationGracePeriodSeconds: 2,
    containers: [
      {
        name: 'main',
        image: images.app.reference,
        command: [
          ...['sh', '-c'],
          "mkdir /www; echo a page > /www/index.html; httpd -p 8080 -h /www; for n in 1 2 3; do echo line $n; done; echo ready; trap 'exit 0' TERM; while :; do sleep 0.2; done",
        ],
        readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
      },
      {
        name: 'talking',
        image: images.app.reference,
        command: ['sh', '-c', "trap 'exit 0' TERM; while :; do echo tick; sleep 0.2; done"],
      },
    ],
  },
});

/** Names of metrics whose samples name this container, sorted. */
function seriesOf(metrics: string, container: string): string {
  const names = metrics
    .split('\n')
    .filter((line) => line.includes(`container="${container}"`))
    .map((line) => line.slice(0, line.indexOf('{')));
  return [...new Set(names)].sort().join(' ');
}

/**
 * Where numbers stand in an answer, without the numbers: what is there, and nothing of how large it
 * is.
 */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shape);
  if (value == null || typeof value !== 'object') return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, part]) => [key, key === 'name' ? part : shape(part)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** What `/stats/summary` says of the pod. */
async function statsOf(lab: Lab): Promise<string> {
  const { body } = await lab.kubelet.get('/stats/summary');
  const { pods } = JSON.parse(body) as {
    pods: {
      podRef: { name: string };
      containers?: { name: string; rootfs?: { usedBytes?: number } }[];
    }[];
  };
  const found = pods.find(({ podRef }) => podRef.name === `${name}-${Kubelet.node}`);
  const containers = [...(found?.containers ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  // kubelet has them with its next look at the runtime's.
  if (containers.length < 2 || containers.some(({ rootfs }) => rootfs?.usedBytes === undefined)) {
    throw new Error('the pod has no statistics yet');
  }
  return JSON.stringify(shape(containers));
}

export const api: Scenario = {
  name: 'api',
  text: "run, exec, attach, port-forward, logs, statistics and metrics by kubelet's API",
  expected: {
    run: '200 a page',
    'run of a program that fails': /^500 /,
    'run of a program that is not there': /^500 /,
    'a large output': '200, 2097152 bytes',
    logs: 'line 1\nline 2\nline 3\nready\n',
    'the end of a log': 'line 3\nready\n',
    'a log with times': /^\d{4}-\d\d-\d\dT\S+ line 1\n/,
    'exec: output': 'out\n',
    'exec: errors': 'err\n',
    'exec: end': /"causes":\[\{"reason":"ExitCode","message":"3"\}\]/,
    'exec: what was typed': 'hello\n',
    'exec: a terminal': '/dev/pts/0\r\n',
    attach: 'tick',
    'port-forward': page,
  },
  async play(lab) {
    lab.addPod(pod(lab));
    await lab.untilRunning(name);
    const seen: Record<string, string> = {};
    const run = async (...command: string[]): Promise<string> => {
      const { status, body } = await lab.run(name, namespace, command);
      return `${status} ${lab.normalise(body).trim()}`;
    };
    seen.run = await run('cat', '/www/index.html');
    seen['run of a program that fails'] = await run('false');
    seen['run of a program that is not there'] = await run('no-such-program');
    const large = await lab.run(name, namespace, ['head', '-c', '2097152', '/dev/zero']);
    seen['a large output'] = `${large.status}, ${large.body.length} bytes`;

    const log = async (query = ''): Promise<string> => {
      const target = `/containerLogs/${namespace}/${name}-${Kubelet.node}/main${query}`;
      return (await lab.kubelet.get(target)).body;
    };
    seen.logs = await log();
    seen['the end of a log'] = await log('?tailLines=2');
    seen['a log with times'] = (await log('?timestamps=true')).replace(
      /^\S+Z|^\S+[+-]\d\d:\d\d/gm,
      '2000-01-01T00:00:00Z',
    );

    const call = (
      kind: string,
      container: string,
      query: string,
      { input, until }: { input?: string; until?: (channels: Channels) => boolean } = {},
    ): Promise<Channels> =>
      callWebSocket({
        port: Kubelet.port,
        path: `/${kind}/${namespace}/${name}-${Kubelet.node}${container}?${query}`,
        protocol: 'v4.channel.k8s.io',
        input,
        signal: lab.signal,
        until,
      });
    const words = (...command: string[]): string =>
      command.map((word) => `command=${encodeURIComponent(word)}`).join('&');
    const script = 'echo out; sleep 0.2; echo err >&2; exit 3';
    const executed = await call('exec', '/main', `${words('sh', '-c', script)}&output=1&error=1`);
    seen['exec: output'] = executed[1] ?? '';
    seen['exec: errors'] = executed[2] ?? '';
    seen['exec: end'] = lab.normalise(executed[3] ?? '');
    const typed = `${words('head', '-n', '1')}&input=1&output=1&error=1`;
    seen['exec: what was typed'] =
      (await call('exec', '/main', typed, { input: 'hello\n' }))[1] ?? '';
    const terminal = await call('exec', '/main', `${words('tty')}&input=1&output=1&tty=1`);
    seen['exec: a terminal'] = terminal[1] ?? '';
    const attached = await call('attach', '/talking', 'output=1&error=1', {
      until: (channels) => channels[1]?.includes('tick\n') ?? false,
    });
    seen.attach = /^tick$/m.exec(attached[1] ?? '')?.[0] ?? JSON.stringify(attached);
    const forwarded = await call('portForward', '', 'port=8080', {
      input: 'GET /index.html HTTP/1.0\r\n\r\n',
      until: (channels) => channels[0]?.endsWith(page) ?? false,
    });
    seen['port-forward'] =
      /\r\n\r\n([^]*)$/.exec(forwarded[0] ?? '')?.[1] ?? JSON.stringify(forwarded);

    seen['statistics of its containers'] = await lab.until(
      'statistics',
      () => statsOf(lab),
      60_000,
    );
    for (const kind of ['cadvisor', 'resource']) {
      const { body } = await lab.kubelet.get(`/metrics/${kind}`);
      seen[`metrics of ${kind}`] = seriesOf(body, 'main');
    }
    return seen;
  },
};
