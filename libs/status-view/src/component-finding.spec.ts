import { componentFinding } from './component-finding';
import type { FindingId } from './finding';

it.each<[string, string, string | undefined, FindingId]>([
  ['runtime', 'down', 'unix:///run/c.sock: connect ENOENT /run/c.sock', 'runtime-socket-missing'],
  ['image-runtime', 'down', 'unix:///run/c.sock: connect EACCES', 'runtime-permission'],
  ['docker', 'down', 'unix:///run/d.sock: connect ECONNREFUSED', 'runtime-stale-socket'],
  ['nats', 'degraded', "'Authorization Violation'", 'nats-login'],
  ['nats', 'degraded', 'outbox file cannot be written: ENOSPC', 'state-full'],
  ['records', 'degraded', '/r.db: cannot be written: EROFS: read-only', 'state-read-only'],
  [
    'image-filesystem',
    'degraded',
    '/data cannot be measured from this process',
    'image-filesystem-unseen',
  ],
  ['image-use', 'degraded', 'unused images are kept: status failed', 'use-unknown'],
  [
    'image-filesystem',
    'degraded',
    'container runtime at unix:///run/c.sock is unavailable since today: connect ENOENT /run/c.sock',
    'runtime-socket-missing',
  ],
  ['policy', 'degraded', 'highThreshold: 120', 'policy-refused'],
  ['collection', 'degraded', 'not enough was freed', 'collection-fell-short'],
  ['forwarding', 'degraded', undefined, 'service-degraded'],
  ['anything', 'down', undefined, 'service-down'],
])('%s that is %s with %j', (name, state, reason, id) => {
  expect(componentFinding({ name, state, reason })).toBe(id);
});
