import { Mutex } from './mutex';

describe('Mutex', () => {
  it('runs one task at a time, in the order of the calls', async () => {
    const mutex = new Mutex();
    const steps: string[] = [];
    const task = (name: string) => async () => {
      steps.push(`${name} begins`);
      await Promise.resolve();
      steps.push(`${name} ends`);
      return name;
    };
    expect(await Promise.all([mutex.run(task('a')), mutex.run(task('b'))])).toEqual(['a', 'b']);
    expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  it('runs the next task after one that failed', async () => {
    const mutex = new Mutex();
    const failing = mutex.run(() => Promise.reject(new Error('failed')));
    const next = mutex.run(() => Promise.resolve('next'));
    await expect(failing).rejects.toThrow('failed');
    expect(await next).toBe('next');
  });
});
