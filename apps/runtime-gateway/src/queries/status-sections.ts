import type { CommandAnswer, runtimeGateway } from '@stowage/commands';
import type { StatusSection } from '@stowage/service-kit';
import { ageText, type Cell } from '@stowage/status-view';

type GatewayStatus = CommandAnswer<typeof runtimeGateway.status>;

/** What the status page shows of the gateway: the answer to the command `status` in words. */
export function gatewaySections(status: GatewayStatus, now: number): StatusSection[] {
  const { endpoint, available, since, reason, criVersion, conditions, error, observing } = status;
  const age = ageText(since, now);
  const answers: Cell = available
    ? { text: `yes, for ${age}`, tone: 'good' }
    : { text: `no, for ${age}: ${reason ?? 'no answer'}`, tone: 'bad' };
  const { mode, listings, known } = observing;
  return [
    {
      title: 'Runtime',
      facts: [
        ['Socket', endpoint],
        ['Answers', answers],
        ['CRI version', criVersion ?? '-'],
      ],
      tables: [
        {
          columns: [
            { title: 'CONDITION' },
            { title: 'HOLDS' },
            { title: 'REASON' },
            { title: 'MESSAGE' },
          ],
          rows: conditions.map((condition) => [
            condition.type,
            condition.status ? { text: 'yes', tone: 'good' } : { text: 'no', tone: 'bad' },
            condition.reason === '' ? '-' : condition.reason,
            condition.message === '' ? '-' : condition.message,
          ]),
          empty: 'Its conditions are not known now.',
        },
      ],
      notes: error === undefined ? [] : [error],
    },
    {
      title: 'Pods and containers',
      facts: [
        ['Pods', String(known.sandbox)],
        ['Containers', String(known.container)],
        ['Changes seen by', mode === 'listing' ? 'listings' : 'the event stream of the runtime'],
        ['Listings', `${listings} since the start`],
      ],
    },
  ];
}
