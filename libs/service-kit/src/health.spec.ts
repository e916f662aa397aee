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
    expect(changes).toEqual(['runtime down', 'runtime ok']);
  });
});
