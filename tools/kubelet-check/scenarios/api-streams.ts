import { Cluster, onePod, podsOf } from '../cluster';
import type { Scenario } from '../scenario';
import { callWebSocket, type Channels } from '../web-socket';

const namespace = 'shop';
const name = 'served';
const page = 'a page\n';

const script =
  "mkdir /www; echo a page > /www/index.html; httpd -p 8080 -h /www; echo line 1; echo line 2; trap 'exit 0' TERM; while :; do sleep 0.2; done";

/**
 * Versions of the protocol of exec: the API server hands the older one to kubelet, and translates
 * the newer one.
 */
const versions = ['v4', 'v5'] as const;

export const apiStreams: Scenario = {
  name: 'api-streams',
  text: 'logs, exec and port-forward by the API server',
  needs: 'api-server',
  expected: {
    logs: 'line 1\nline 2\n',
    'the end of a log': 'line 2\n',
    ...Object.fromEntries(
      versions.flatMap((version): [string, string | RegExp][] => [
        [`exec ${version}: output`, 'out\n'],
        [`exec ${version}: errors`, 'err\n'],
        [`exec ${version}: end`, /"causes":\[\{"reason":"ExitCode","message":"3"\}\]/],
        [`exec ${version}: a large output`, '2097152 bytes'],
      ]),
    ),
    'exec of a program that is not there: end': /"status":"Failure"/,
    'port-forward': page,
  },
  play: (lab) =>
    Cluster.with(lab, async (cluster) => {
      await cluster.namespace(namespace);
      await cluster.addPod({
        ...{ namespace, name },
        spec: onePod(lab.images.app.reference, {
          script,
          container: { readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 } },
        }),
      });
      await cluster.stateOf(namespace, name, 'Running; main: running, ready');
      const { port, token } = cluster.api.address;
      const own = `${podsOf(namespace)}/${name}`;
      const call = (
        target: string,
        protocol: string,
        more: { input?: string; until?: (channels: Channels) => boolean } = {},
      ): Promise<Channels> =>
        callWebSocket({
          ...{ port, path: `${own}/${target}`, signal: lab.signal, ...more },
          // A browser cannot send a header, so the token may come as a protocol that nobody speaks.
          protocol: `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}, ${protocol}`,
        });
      const exec = (version: string, ...words: string[]): Promise<Channels> => {
        const command = words.map((word) => `command=${encodeURIComponent(word)}`).join('&');
        return call(`exec?stdout=true&stderr=true&${command}`, `${version}.channel.k8s.io`);
      };
      const seen: Record<string, string> = {};
      seen.logs = (await cluster.api.text(`${own}/log`)).body;
      seen['the end of a log'] = (await cluster.api.text(`${own}/log?tailLines=1`)).body;
      for (const version of versions) {
        const done = await exec(version, 'sh', '-c', 'echo out; sleep 0.2; echo err >&2; exit 3');
        seen[`exec ${version}: output`] = done[1] ?? '';
        seen[`exec ${version}: errors`] = done[2] ?? '';
        seen[`exec ${version}: end`] = lab.normalise(done[3] ?? '');
        const large = await exec(version, 'head', '-c', '2097152', '/dev/zero');
        seen[`exec ${version}: a large output`] = `${(large[1] ?? '').length} bytes`;
      }
      const missing = await exec('v4', 'no-such-program');
      seen['exec of a program that is not there: end'] = lab.normalise(missing[3] ?? '');
      const forwarded = await call('portforward?ports=8080', 'v4.channel.k8s.io', {
        input: 'GET /index.html HTTP/1.0\r\n\r\n',
        until: (channels) => channels[0]?.endsWith(page) ?? false,
      });
      seen['port-forward'] =
        /\r\n\r\n([^]*)$/.exec(forwarded[0] ?? '')?.[1] ?? JSON.stringify(forwarded);
      return seen;
    }),
};
