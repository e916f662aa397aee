import type { Call } from '../command-line/define';
import { examine } from '../doctor/examine';
import { serviceSummaries } from '../services/node-status';

/** `stowctl doctor`: what is wrong, and what to do about it. */
export async function doctor(call: Call): Promise<number> {
  const { findings, statuses } = await examine(call);
  const services = statuses.flatMap(serviceSummaries).filter(({ state }) => state === 'ok').length;
  await call.out.show({
    data: { findings },
    tables: [
      {
        columns: [
          { title: 'LEVEL' },
          { title: 'NODE' },
          { title: 'FINDING' },
          { title: 'ABOUT' },
          { title: 'PROBLEM' },
        ],
        rows: findings.map(({ id, level, node = '-', subject, problem }) => [
          { text: level, tone: level === 'critical' ? 'bad' : 'warning' },
          node,
          id,
          subject,
          problem,
        ]),
      },
      {
        columns: [{ title: 'FINDING' }, { title: 'WHAT TO DO' }],
        rows: [...new Map(findings.map((one) => [one.id, one])).values()].map((one) => [
          one.id,
          one.remedy,
        ]),
      },
    ],
    notes:
      findings.length === 0
        ? [`nothing is wrong: ${statuses.length} nodes looked at, ${services} services ok`]
        : [],
  });
  return findings.length === 0 ? 0 : 1;
}
