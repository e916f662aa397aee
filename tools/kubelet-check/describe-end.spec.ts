import { describeEnd } from './describe-end';

const lines = [
  { level: 'warn', msg: 'health changed' },
  { level: 'info', msg: 'ready' },
  { level: 'info', msg: 'handed over' },
  { level: 'info', msg: 'image pulled' },
];
const app = { logLines: () => lines, stderr: '' };
const failed = { ...app, stderr: 'image-service: start failed: it is in use\n' };

it.each([
  ['well', app, { code: 0, signal: null }, '0'],
  [
    'with an exit code, by its complaints and what it printed at last',
    failed,
    { code: 1, signal: null },
    '3-image-service: 1\n{"level":"warn","msg":"health changed"}\nimage-service: start failed: it is in use',
  ],
  [
    'by a signal',
    { logLines: () => [], stderr: '' },
    { code: null, signal: 'SIGKILL' as const },
    '3-image-service: SIGKILL',
  ],
  [
    'not at all, by its last lines',
    app,
    undefined,
    '3-image-service: still runs\n{"level":"info","msg":"ready"}\n{"level":"info","msg":"handed over"}\n{"level":"info","msg":"image pulled"}',
  ],
])('an instance that ended %s is described', (_how, process, exit, text) => {
  expect(describeEnd('3-image-service', exit, process)).toBe(text);
});
