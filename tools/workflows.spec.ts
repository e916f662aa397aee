import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { releasedApps } from './app-folders';

/** The workflows: nothing changes under them, no rights beyond need, commands that exist. */

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly 'timeout-minutes'?: number;
        readonly steps: readonly Step[];
        readonly strategy?: {
          readonly matrix: {
            readonly include?: readonly { app: string; target: string; port: string }[];
          };
        };
      }
    >
  >;
}

const root = path.resolve(__dirname, '..');
const folder = path.join(root, '.github/workflows');
const files = readdirSync(folder);
const textOf = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
const workflowOf = (file: string): Workflow => parse(textOf(file)) as Workflow;
const { scripts, engines } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
  engines: { node: string };
};

describe.each(files)('%s', (file) => {
  const { permissions, jobs } = workflowOf(file);
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  it('pins every action by commit, with its version beside it', () => {
    const uses = textOf(file)
      .split('\n')
      .filter((line) => line.includes('uses:'));
    expect(uses.length).toBeGreaterThan(0);
    for (const line of uses) expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+/);
  });

  it('may read the sources and no more, unless a job says what for', () => {
    expect(permissions).toEqual({ contents: 'read' });
  });

  it('ends each job after a time', () => {
    for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('runs npm scripts that there are', () => {
    const used = steps.flatMap(({ run = '' }) =>
      [...run.matchAll(/npm (?:run )?(?!ci\b)([\w:-]+)/g)].map(([, name]) => name),
    );
    expect(used.length).toBeGreaterThan(0);
    for (const name of used) expect(Object.keys(scripts)).toContain(name);
  });

  it('puts no value of an event into a shell', () => {
    for (const { run = '' } of steps) expect(run).not.toContain('${{');
  });
});

it('tests the oldest Node.js that the sources promise', () => {
  expect(textOf('check.yml')).toContain(`'${/\d+\.\d+/.exec(engines.node)?.[0] ?? 'none'}'`);
});

it('builds an image of each released service, as compose does, with the port of its configuration', () => {
  const built = workflowOf('release.yml').jobs.images?.strategy?.matrix.include ?? [];
  expect(built.map(({ app }) => app).sort()).toEqual([...releasedApps]);
  const compose = parse(readFileSync(path.join(root, 'docker-compose.yml'), 'utf8'), {
    merge: true,
  }) as { services: Record<string, { build: { target: string; args: Record<string, unknown> } }> };
  for (const { app, target, port } of built) {
    const config = readFileSync(path.join(root, 'apps', app, 'src/config.ts'), 'utf8');
    expect(config).toContain(port);
    const { build } = compose.services[app] ?? {};
    expect([app, build?.target, String(build?.args.HTTP_PORT)]).toEqual([app, target, port]);
  }
});
