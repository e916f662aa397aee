import type { Lab, Replaced, ServiceName } from '../lab';
import { openCalls, undisturbed, withOpenCalls } from '../open-calls';
import type { Scenario } from '../scenario';

/** Does the same to each service of the way; on the runtime itself there is none. */
async function forServices(lab: Lab, act: (service: ServiceName) => Promise<void>): Promise<void> {
  for (const service of lab.way.services) await act(service);
}

/**
 * What has to come of it where calls may be cut: kubelet repeats them, and nothing else is touched.
 */
const afterwards = Object.fromEntries(
  ([openCalls.pull, openCalls.others, openCalls.fresh, openCalls.gone] as const).map((what) => [
    what,
    undisturbed[what],
  ]),
);

/** Time for a replaced instance to end once it has no calls any more, milliseconds. */
const endMs = 60_000;

/** Two after the other for each service that has sockets, while the first still has its calls. */
export const takeOver: Scenario = {
  name: 'take-over',
  text: 'the services are replaced by new instances while calls are open: no call is cut',
  expected: { ...undisturbed, 'stowage: replaced instances': 'end with 0' },
  async play(lab) {
    const replaced: Replaced[] = [];
    const seen = await withOpenCalls(lab, async () => {
      for (let time = 1; time <= 2; time++) {
        await forServices(lab, async (service) => {
          if (service === 'gc-worker') await lab.restartService(service);
          else replaced.push(await lab.takeOver(service));
        });
      }
    });
    if (replaced.length === 0) return seen;
    const ends = await Promise.all(replaced.map((one) => one.end(endMs)));
    const wrong = ends.filter((end) => end !== '0');
    const ended = wrong.length === 0 ? 'end with 0' : wrong.join('\n');
    return { ...seen, 'stowage: replaced instances': ended };
  },
};

/**
 * On the runtime itself that is what is ended: kubelet's calls are then cut there in the same
 * way.
 */
async function cutShort(lab: Lab, how: 'stop' | 'kill'): Promise<Record<string, string>> {
  const seen = await withOpenCalls(lab, async () => {
    if (lab.way.services.length > 0) {
      await forServices(lab, (service) => lab.restartService(service, how));
      return;
    }
    await lab.runtime[how]();
    await lab.runtime.start();
  });
  // Which calls meet an outage, and so what kubelet says of it, differs from run to run.
  return Object.fromEntries(Object.entries(seen).filter(([what]) => what !== openCalls.complaints));
}

export const restart: Scenario = {
  name: 'restart',
  text: 'the services (bare: the runtime) are stopped and started while calls are open',
  expected: afterwards,
  play: (lab) => cutShort(lab, 'stop'),
};

export const kill: Scenario = {
  name: 'kill',
  text: 'the services (bare: the runtime) are killed and started while calls are open',
  expected: afterwards,
  play: (lab) => cutShort(lab, 'kill'),
};
