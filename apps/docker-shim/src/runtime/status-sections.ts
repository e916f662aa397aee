import type { StatusSection } from '@stowage/service-kit';
import { ageText, sizeText, type Cell } from '@stowage/status-view';
import type { EngineConnection } from '../engine/engine-connection';
import { imageStore } from '../engine/image-store';
import type { RunningPull } from '../image/pull-image';

/** What the status page shows of the engine and of pods; `now` in milliseconds since the epoch. */
export interface ShimFacts {
  readonly connection: Pick<EngineConnection, 'endpoint' | 'availability' | 'lastKnown'>;
  /** The socket on which the CRI is served. */
  readonly listen: string;
  readonly networkMode: string;
  /** Why pods cannot get a network; undefined when they can. */
  readonly networkProblem: string | undefined;
  /** Of the CNI network that new pods get; empty for none. */
  readonly networkName: string;
  readonly pulls: readonly RunningPull[];
  readonly now: number;
}

/** Engine, network of pods, and pulls. */
export const shimSections = (facts: ShimFacts): StatusSection[] => [
  engineSection(facts),
  networkSection(facts),
  pullsSection(facts),
];

function engineSection({ connection, listen, now }: ShimFacts): StatusSection {
  const { available, since, reason = 'no answer' } = connection.availability();
  const { api, version, info } = connection.lastKnown() ?? {};
  const age = ageText(since.toISOString(), now);
  const answers: Cell = available
    ? { text: `yes, for ${age}`, tone: 'good' }
    : { text: `no, for ${age}: ${reason}`, tone: 'bad' };
  const storage =
    info === undefined ? '-' : `${info.Driver ?? '-'} (image store: ${imageStore(info)})`;
  return {
    title: 'Docker Engine',
    facts: [
      ['Socket', connection.endpoint],
      ['Answers', answers],
      ['Version', version === undefined ? '-' : `${version.engine}, API ${api ?? '-'}`],
      ['Storage', storage],
      ['Data root', info?.DockerRootDir ?? '-'],
      ['Control groups', info === undefined ? '-' : `version ${info.CgroupVersion ?? '1'}`],
      ['Serves the CRI on', listen],
    ],
  };
}

const networkSection = ({
  networkMode,
  networkName,
  networkProblem,
}: ShimFacts): StatusSection => ({
  title: 'Network of pods',
  facts: [
    ['From', networkMode === 'cni' ? 'CNI plugins' : "the engine's bridge"],
    ['Network', networkName === '' ? '-' : networkName],
    [
      'Ready',
      networkProblem === undefined
        ? { text: 'yes', tone: 'good' }
        : { text: `no: ${networkProblem}`, tone: 'bad' },
    ],
  ],
});

const pullsSection = ({ pulls, now }: ShimFacts): StatusSection => ({
  title: 'Pulls in progress',
  tables: [
    {
      columns: [
        { title: 'IMAGE' },
        { title: 'FOR', align: 'right' },
        { title: 'RECEIVED', align: 'right' },
      ],
      rows: pulls.map(({ reference, since, bytes }) => [
        reference,
        ageText(since.toISOString(), now),
        sizeText(bytes),
      ]),
      empty: 'Nothing is being pulled.',
    },
  ],
});
