import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connectRuntimeService } from '@stowage/cri-client';
import { subscribeEvents, type ReceivedEvent } from '@stowage/testing';
import type { Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'soak';
/** A pod comes so often, and goes when so many others have come. */
const everyMs = 3_000;
const atOnce = 6;
/**
 * On the runtime itself only what is left behind is looked at, which a part of the time shows as
 * well.
 */
const shareOnBare = 0.1;
const trapped = "trap 'exit 0' TERM; while :; do sleep 0.2; done";

/**
 * Kinds of pods, in turn, with the exit codes that their containers may end with: their own, and
 * that of a pod that is removed.
 */
const kinds = [
  { script: 'exit 0', restartPolicy: 'Never', codes: [0] },
  { script: 'sleep 2; exit 5', restartPolicy: 'Always', codes: [5, 137, 143] },
  { script: trapped, restartPolicy: 'Always', codes: [0, 137] },
  { script: 'tail /dev/zero', restartPolicy: 'Always', codes: [137], memory: '12Mi' },
  { script: trapped, restartPolicy: 'Always', codes: [0, 137], probe: true },
] as const;

function podOf(lab: Lab, number: number): Pod {
  const kind = kinds[number % kinds.length] ?? kinds[0];
  const { app, other, third } = lab.images;
  const image = [app, other, third][number % 3] ?? app;
  return {
    metadata: { name: `soak-${number}`, namespace },
    spec: {
      terminationGracePeriodSeconds: 2,
      restartPolicy: kind.restartPolicy,
      containers: [
        {
          ...{ name: 'main', image: image.reference, command: ['sh', '-c', kind.script] },
          imagePullPolicy: number % 2 === 0 ? 'Always' : 'IfNotPresent',
          ...('memory' in kind ? { resources: { limits: { memory: kind.memory } } } : {}),
          ...('probe' in kind
            ? { readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 } }
            : {}),
        },
      ],
    },
  };
}

interface Use {
  readonly descriptors: number;
  /** Resident memory, MiB. */
  readonly memory: number;
}

const useOf = (pid: number): Use => ({
  descriptors: readdirSync(`/proc/${pid}/fd`).length,
  memory: Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
});

/** What of pods and containers the runtime still has. */
async function leftovers(lab: Lab): Promise<string> {
  const client = connectRuntimeService({ endpoint: lab.runtime.endpoint });
  try {
    const { items } = await client.listPodSandbox({});
    const { containers } = await client.listContainers({});
    return items.length + containers.length === 0
      ? 'none'
      : `${items.length} sandboxes, ${containers.length} containers`;
  } finally {
    client.close();
  }
}

/** What is wrong with the events of the gateway; `none` where nothing is. */
function faultsOf(events: readonly ReceivedEvent[], hasEventStream: boolean): string {
  const faults: string[] = [];
  const last = new Map<string, bigint>();
  const seen = new Set<string>();
  const phases = new Map<string, string[]>();
  for (const event of events) {
    const { source, sequence, name, id } = event;
    const [before, now] = [last.get(source), BigInt(sequence)];
    if (before !== undefined && now !== before + 1n)
      faults.push(`${source}: ${before}, then ${now}`);
    last.set(source, now);
    if (seen.has(id)) faults.push(`${id} twice`);
    seen.add(id);
    const data = event.data as { containerId?: string; exitCode?: number; pod?: { name: string } };
    const number = /^soak-(\d+)-/.exec(data.pod?.name ?? '')?.[1];
    if (number === undefined || data.containerId === undefined) continue;
    phases.set(data.containerId, [...(phases.get(data.containerId) ?? []), name]);
    const codes: readonly number[] = kinds[Number(number) % kinds.length]?.codes ?? [];
    if (name !== 'ContainerStopped') continue;
    // Without a stream of events the end of a container that kubelet removes between two listings
    // is seen by its removal alone.
    if (data.exitCode === undefined && !hasEventStream) continue;
    if (!codes.includes(data.exitCode ?? -1)) {
      faults.push(`${data.pod?.name ?? ''} ended with ${data.exitCode ?? 'no code'}`);
    }
  }
  const whole = 'ContainerCreated ContainerStarted ContainerStopped ContainerRemoved';
  for (const [id, names] of phases) {
    if (names.join(' ') !== whole) faults.push(`${id.slice(0, 12)}: ${names.join(' ')}`);
  }
  return faults.length === 0 ? 'none' : faults.slice(0, 20).join('\n');
}

export const soak: Scenario = {
  name: 'soak',
  text: 'pods of five kinds come and go: events, memory, descriptors, and what is left afterwards',
  onlyWith: 'soak',
  expected: {
    'left in the runtime': 'none',
    'stowage: faults of events': 'none',
    'stowage: growth': 'none',
  },
  async play(lab) {
    const { hasEventStream } = lab.runtime;
    const events = await subscribeEvents(lab.stack.nats.url);
    try {
      const share = lab.way.services.length === 0 ? shareOnBare : 1;
      const end = Date.now() + share * lab.soakMinutes * 60_000;
      const uses = (): Map<string, Use> =>
        new Map(lab.way.services.map((name) => [name, useOf(lab.service(name).pid)]));
      // Compared with the use after a fifth of the time: what is loaded once and kept is there by
      // then.
      const warm = Date.now() + (lab.soakMinutes * 60_000) / 5;
      let before: Map<string, Use> | undefined;
      let number = 0;
      for (; Date.now() < end; number++) {
        if (before === undefined && Date.now() >= warm) before = uses();
        lab.addPod(podOf(lab, number));
        lab.removePod(`soak-${number - atOnce}`);
        await pause(everyMs, undefined, { signal: lab.signal });
      }
      await lab.removePods();
      const seen: Record<string, string> = {};
      const isEmpty = async (): Promise<boolean> => (await leftovers(lab)) === 'none';
      await lab.until('the runtime to be empty', isEmpty, 180_000).catch(() => undefined);
      seen['left in the runtime'] = await leftovers(lab);
      process.stdout.write(`${number} pods `);
      if (lab.way.services.length === 0) return seen;
      const after = uses();
      const growth = [...after].flatMap(([name, now]) => {
        const then = before?.get(name) ?? now;
        process.stdout.write(
          `${name} ${then.memory.toFixed()} to ${now.memory.toFixed()} MiB, ${then.descriptors} to ${now.descriptors} descriptors; `,
        );
        return now.descriptors > then.descriptors + 8 || now.memory > then.memory * 1.3 + 10
          ? [`${name}: ${JSON.stringify(then)}, then ${JSON.stringify(now)}`]
          : [];
      });
      seen['stowage: growth'] = growth.join('\n') || 'none';
      // The last removal's event, from the runtime's next listing at the latest.
      const complete = (): boolean => faultsOf(events.all, hasEventStream) === 'none';
      await lab.until('the last events', complete, 60_000).catch(() => undefined);
      seen['stowage: faults of events'] = faultsOf(events.all, hasEventStream);
      return seen;
    } finally {
      await events.close();
    }
  },
};
