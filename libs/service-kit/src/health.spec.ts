import { Health, renderReadiness } from './health';

function health() {
  let clock = 0;
  const changes: string[] = [];
  const registry = new Health(
    () => new Date(clock),
    (name, { state }) => changes.push(`${name} ${state}`),
  );
  return { registry, changes, at: (ms: number) => (clock = ms) };
}

describe('health', () => {
  it('is down while starting and stopping, whatever the components say', () => {
    const { registry } = health();
    registry.report('runtime', { state: 'ok' });
    expect(registry.readiness().state).toBe('down');
    registry.enter('running');
    expect(registry.readiness().state).toBe('ok');
    registry.enter('stopping');
    expect(JSON.parse(renderReadiness(registry.readiness()))).toMatchObject({
      status: 'down',
      message: 'stopping',
    });
  });

  it('is as bad as the worst component', () => {
    const { registry } = health();
    registry.enter('running');
    registry.report('runtime', { state: 'ok' });
    registry.report('nats', { state: 'degraded', reason: 'connection refused' });
    expect(registry.readiness().state).toBe('degraded');
    registry.report('runtime', { state: 'down', reason: 'connect ENOENT' });
    expect(registry.readiness().state).toBe('down');
  });

  it('keeps since while the state stays, and takes the newest reason', () => {
    const { registry, changes, at } = health();
    registry.enter('running');
    registry.report('runtime', { state: 'down', reason: 'a' });
    at(5000);
    registry.report('runtime', { state: 'down', reason: 'b' });
    expect(JSON.parse(renderReadiness(registry.readiness()))).toEqual({
      status: 'down',
      message: 'runtime down since 1970-01-01T00:00:00.000Z: b',
      components: { runtime: { state: 'down', reason: 'b', since: '1970-01-01T00:00:00.000Z' } },
    });
    registry.report('runtime', { state: 'ok', reason: 'ignored' });
    expect(JSON.parse(renderReadiness(registry.readiness()))).toEqual({
      status: 'ok',
      components: { runtime: { state: 'ok', since: '1970-01-01T00:00:05.000Z' } },
    });
    expect(changes).toEqual(['runtime down', 'runtime down', 'runtime ok']);
  });

  it('notifies of each reason that is new since the state began, at most five', () => {
    const { registry, changes } = health();
    const reasons = ['absent', 'refused', 'absent', 'refused', 'no CRI', 'no CRI'];
    for (const reason of reasons) registry.report('runtime', { state: 'down', reason });
    expect(changes).toEqual(['runtime down', 'runtime down', 'runtime down']);
    for (let at = 0; at < 100; at += 1) {
      registry.report('runtime', { state: 'down', reason: `no CRI for ${at} s, ${at}.5 MiB` });
    }
    expect(changes).toHaveLength(4);
    for (let at = 0; at < 100; at += 1) {
      registry.report('runtime', { state: 'down', reason: `attempt ${'x'.repeat(at)}` });
    }
    expect(changes).toHaveLength(5);
    registry.report('runtime', { state: 'ok' });
    registry.report('runtime', { state: 'down', reason: 'absent' });
    expect(changes.slice(5)).toEqual(['runtime ok', 'runtime down']);
  });
});

it('shows a note of what is ok all the same, and takes it for no change', () => {
  const changes: string[] = [];
  const health = new Health(
    () => new Date(0),
    (name) => changes.push(name),
  );
  health.enter('running');
  health.report('collecting', { state: 'ok' });
  health.report('collecting', { state: 'ok', note: 'paused' });
  expect(changes).toEqual(['collecting']);
  expect(JSON.parse(renderReadiness(health.readiness()))).toEqual({
    status: 'ok',
    components: {
      collecting: { state: 'ok', note: 'paused', since: '1970-01-01T00:00:00.000Z' },
    },
  });
  health.report('collecting', { state: 'ok' });
  expect(renderReadiness(health.readiness())).not.toContain('note');
});
