import type { Block } from './markdown';

/** Blocks that a test runs: which, of which page, and the file of the test. */
export interface RunBy {
  /** Relative to the root. */
  readonly test: string;
  readonly page: string | RegExp;
  /** What those blocks contain; absent: all of the page that have no mark. */
  readonly has?: RegExp;
}

const blocksTest = 'tools/doc-blocks/blocks.it.spec.ts';
const clusterTest = 'tools/chart/newcomer.it.spec.ts';
const packagesTest = 'tools/build-package.it.spec.ts';

/**
 * Every block that is run, by the test that runs it. The first entry that fits counts. What is in
 * no entry needs a mark in its page.
 */
export const runBy: readonly RunBy[] = [
  { test: clusterTest, page: 'README.md', has: /^helm / },
  { test: clusterTest, page: 'deploy/helm/stowage/README.md' },
  { test: clusterTest, page: 'docs/image-service.md', has: /^kubectl / },
  { test: clusterTest, page: 'docs/kubernetes.md' },
  { test: clusterTest, page: 'docs/stowctl.md', has: /^kubectl / },
  { test: 'tools/demo/demo.it.spec.ts', page: 'README.md', has: /^npm run demo/ },
  { test: packagesTest, page: 'README.md', has: /build-package\.mjs/ },
  { test: 'tools/readme-commands.spec.ts', page: 'README.md', has: /^nats --server/ },
  { test: blocksTest, page: 'README.md', has: /^(npm ci|nats |curl |sudo node )/ },
  { test: blocksTest, page: /^apps\/(gc-worker|runtime-gateway)\/README\.md$/ },
  { test: 'conformance/conformance.spec.ts', page: 'conformance/README.md' },
  { test: blocksTest, page: 'deploy/nats/README.md' },
  { test: blocksTest, page: 'docs/gc-worker.md' },
  {
    test: 'apps/image-service/src/credentials/credentials.it.spec.ts',
    page: 'docs/image-service.md',
    has: /^#!/,
  },
  { test: blocksTest, page: 'docs/image-service.md' },
  { test: 'tools/package-deb/package-deb.it.spec.ts', page: 'docs/install-debian.md' },
  { test: blocksTest, page: /^docs\/migrate-from-(cron|docuum)\.md$/ },
  { test: blocksTest, page: 'docs/monitoring.md' },
  { test: blocksTest, page: 'docs/operations.md' },
  { test: 'tools/demo/demo.it.spec.ts', page: 'docs/quickstart-events.md' },
  { test: blocksTest, page: 'docs/quickstart-on-call.md' },
  { test: blocksTest, page: 'docs/reference/commands.md' },
  { test: blocksTest, page: /^docs\/runbooks\// },
  { test: blocksTest, page: 'docs/stowctl.md' },
  { test: packagesTest, page: /^examples\/[\w-]+\/README\.md$/, has: /build-package\.mjs/ },
  {
    test: 'examples/event-subscriber/main.it.spec.ts',
    page: 'examples/event-subscriber/README.md',
  },
  {
    test: 'examples/threshold-reporter/main.it.spec.ts',
    page: 'examples/threshold-reporter/README.md',
  },
  { test: packagesTest, page: /^libs\/(commands|events)\/(package\/)?README\.md$/ },
];

/** The entry that a block falls under, unless its page says that it is not run. */
export const runOf = (block: Block): RunBy | undefined => runBy.find((entry) => fits(entry, block));

const fits = ({ page, has }: RunBy, block: Block): boolean =>
  (typeof page === 'string' ? page === block.page : page.test(block.page)) &&
  (has === undefined || has.test(block.text));
