import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Kubelet, type Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'logs';
const name = 'talks';
const lines = 3_000;
const kept = 3;

/** kubelet looks every 3 s, the least that it takes, and finds more than this each time. */
const variant = {
  config: {
    containerLogMaxSize: '64Ki',
    containerLogMaxFiles: kept,
    containerLogMonitorInterval: '3s',
  },
};

/** Some 200 bytes a line with what the CRI puts before it, for 15 s. */
const script = [
  `filler=$(printf '%0150d' 0)`,
  'i=0',
  `while [ $i -lt ${lines} ]; do i=$((i + 1)); echo "$i $filler"; [ $((i % 100)) != 0 ] || sleep 0.5; done`,
  // Goes on: kubelet shows the newest file alone, which is empty after a rotation.
  "trap 'exit 0' TERM; while :; do echo done; sleep 1; done",
].join('\n');

export const logRotation: Scenario = {
  name: 'log-rotation',
  text: 'kubelet rotates the log of a container that goes on writing: no line is lost or there twice',
  expected: {
    'files of the log': String(kept),
    'lines that are lost, or there twice': 'none',
    'last line by the API of kubelet': 'done\n',
  },
  async play(lab) {
    await lab.restartKubelet(variant);
    try {
      const pod: Pod = {
        metadata: { name, namespace },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              ...{ name: 'main', image: lab.images.app.reference },
              command: ['sh', '-c', script],
            },
          ],
        },
      };
      lab.addPod(pod);
      await lab.untilRunning(name);
      const target = `/containerLogs/${namespace}/${name}-${Kubelet.node}/main?tailLines=1`;
      let last = '';
      const isWhole = async (): Promise<boolean> => {
        last = (await lab.kubelet.get(target)).body;
        return last === 'done\n';
      };
      await lab.until('the last line', isWhole, 90_000).catch(() => undefined);
      const files = (): string[] => logFiles(lab);
      const areRotated = (): boolean => files().length === kept;
      await lab.until('the log to be rotated', areRotated, 20_000).catch(() => undefined);
      return {
        'files of the log': String(files().length),
        'lines that are lost, or there twice': faultsOf(files()),
        'last line by the API of kubelet': last,
      };
    } finally {
      await lab.restartKubelet();
    }
  },
};

/** Files of the container's log, the oldest first: rotated ones carry the time of their end. */
function logFiles(lab: Lab): string[] {
  const [pod = ''] = readdirSync(lab.kubelet.podLogsDir).filter((folder) =>
    folder.startsWith(`${namespace}_${name}-`),
  );
  const folder = path.join(lab.kubelet.podLogsDir, pod, 'main');
  const rotated = readdirSync(folder).filter((file) => /^0\.log\.\d{8}-\d{6}(\.gz)?$/.test(file));
  return [...rotated.sort(), '0.log'].map((file) => path.join(folder, file));
}

/** What is wrong with the order of the lines that are kept; `none` where nothing is. */
function faultsOf(files: readonly string[]): string {
  const text = files
    .map((file) => readFileSync(file))
    .map((bytes, i) => (files[i]?.endsWith('.gz') === true ? gunzipSync(bytes) : bytes).toString())
    .join('');
  const numbers = [...text.matchAll(/ stdout F (\d+) 0+$/gm)].map((match) => Number(match[1]));
  const faults = numbers.flatMap((number, i) => {
    const before = numbers[i - 1];
    return before === undefined || number === before + 1 ? [] : [`${before}, then ${number}`];
  });
  if (numbers.at(-1) !== lines) faults.push(`the last line is ${numbers.at(-1) ?? 'missing'}`);
  return faults.slice(0, 10).join('\n') || 'none';
}
