import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { eventNames } from '@stowage/events';
import { loadConfig } from '@stowage/service-kit';
import { catalogue } from '@stowage/status-view';
import { isVariable, problemsOf } from './check-commands';
import { readFacts, type Facts } from './facts';
import {
  blocksOf,
  isShell,
  pages,
  placeOf,
  prose,
  root,
  scriptOf,
  shellBlocks,
  shownCommands,
  textOf,
} from './markdown';
import { markOf } from './marks';
import { runBy, runOf } from './run-by';
import { rowsWith, shapeOf } from './shape';

/** Every block of every page: who runs it, or why nobody does, and that it may be right. */

let facts: Facts;
beforeAll(async () => {
  facts = await readFacts();
});

const byPage = pages
  .map((page) => [page, blocksOf(page).filter(isShell)] as const)
  .filter(([, blocks]) => blocks.length > 0);

describe.each(byPage)('%s', (_page, blocks) => {
  it('has blocks that a test runs, or that say why none does', () => {
    const open = blocks.filter(
      (block) => markOf(block) === undefined && runOf(block) === undefined,
    );
    expect(open.map(placeOf)).toEqual([]);
  });

  it('has a shell understand them', () => {
    for (const block of blocks) {
      // `fpath` and braces in capitals are for people: it is read, not run.
      const { stderr } = spawnSync('sh', ['-n'], { input: scriptOf(block), encoding: 'utf8' });
      expect([placeOf(block), stderr]).toEqual([placeOf(block), '']);
    }
  });

  it('names programs, scripts, commands, flags, files, sockets and variables that there are', async () => {
    for (const block of blocks) {
      // The content of a file that a test runs, and no words that somebody types.
      if (block.text.startsWith('#!')) continue;
      expect([placeOf(block), await problemsOf(scriptOf(block), facts)]).toEqual([
        placeOf(block),
        [],
      ]);
    }
  });
});

describe('tests that run blocks', () => {
  it.each(runBy)('$test runs blocks of $page that it names', ({ test, page, has }) => {
    const own = shellBlocks.filter((block) => {
      const entry = runOf(block);
      return entry?.test === test && entry.page === page && entry.has === has;
    });
    expect(own.filter((block) => markOf(block) === undefined).length).toBeGreaterThan(0);
    expect([test, existsSync(path.join(root, test))]).toEqual([test, true]);
    // It reads the pages by this list, or names them.
    const text = readFileSync(path.join(root, test), 'utf8');
    const unnamed = [...new Set(own.map((block) => block.page))].filter(
      (name) =>
        // It asks this list for its own blocks.
        !text.includes(`'${test}'`) &&
        !text.includes(name) &&
        !(text.includes("'README.md'") && path.dirname(name) === path.dirname(test)),
    );
    expect(unnamed).toEqual([]);
  });
});

it.each([
  ['npm run nothing', 'package.json has no script nothing'],
  ['npm run demo -- --keepp', 'knows no --keepp'],
  ['node dist/apps/gc-werker/main.js', 'there is no service gc-werker'],
  ['node dist/apps/gc-worker/main.js --kubelet', '--kubelet'],
  ['STOWAGE_COLLECT=perhaps node dist/apps/gc-worker/main.js', 'allowed: on, shadow'],
  ['sudo stowctl pause --for 2h', 'unknown flag --for of pause'],
  ['stowctl status | grep -c ok && stowctl stats', 'unknown command "stats"'],
  ['sudo systemctl restart stowage-gc-workers', 'no unit stowage-gc-workers'],
  ['cp deploy/monitoring/rules/nothing.yaml /tmp', 'there is no deploy/monitoring/rules/nothing'],
  ['STOWAGE_NODE=a npm test', 'nothing reads STOWAGE_NODE'],
  ["nats request stowage.cmd.a.gc-worker.plans '{}'", 'no command gc-worker.plans'],
  [`nats req stowage.cmd.a.gc-worker.plan '{"lmit":1}'`, 'gc-worker.plan: request: unknown key'],
  [
    "curl --unix-socket /run/stowage/gc-worker.cmd.sock http://localhost/v1/pods -d '{}'",
    'no command gc-worker.pods',
  ],
  ['crictl --image-endpoint unix:///run/stowage/images.sock ps', 'no service has /run/stowage/im'],
  ['curl http://127.0.0.1:9499/readyz', 'no service listens'],
  ['dist/debian/stowage_9.9.9-1_amd64.deb', 'nothing here knows the program'],
  ['sudo apt-get install ./dist/debian/stowage_9.9.9-1_amd64.deb', 'nothing builds dist/debian'],
])('what is wrong with "%s" is found', async (script, problem) => {
  expect((await problemsOf(script, facts)).join('\n')).toContain(problem);
});

describe('in the text of pages', () => {
  it('commands of stowctl are those that there are', () => {
    const problems = pages.flatMap((page) =>
      [
        ...prose(page)
          .replaceAll('\\|', '|')
          .matchAll(/`(?:sudo )?stowctl ([^`…]+)`/g),
      ].flatMap(([, line = '']) => {
        const words = (line.split(/ [|>] ?/)[0] ?? '').match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
        // The form of a command, as in `[IMAGE]`.
        const argv = words.filter((word) => !/^\[.*\]$/.test(word));
        try {
          facts.parseStowctl(argv);
          return [];
        } catch (error) {
          // The name of a command alone, and what stands for one.
          if (/ needs [A-Z]+$|"COMMAND"/.test((error as Error).message)) return [];
          if (line === '--version') return [];
          return [`${page}: stowctl ${line}: ${(error as Error).message}`];
        }
      }),
    );
    expect(problems).toEqual([]);
  });

  it('variables are those that some program reads', () => {
    // The README of the kit shows a service that is none of these.
    const others = pages.filter((page) => page !== 'libs/service-kit/README.md');
    const problems = others.flatMap((page) =>
      [...new Set(textOf(page).match(/\bSTOWAGE_[A-Z0-9_]*[A-Z0-9]\b(?![_<*…])/g) ?? [])]
        .filter((name) => !isVariable(name, facts))
        .map((name) => `${page}: ${name}`),
    );
    expect(problems).toEqual([]);
  });

  it('scripts of npm are those of package.json', () => {
    const problems = pages.flatMap((page) =>
      [...textOf(page).matchAll(/npm run ([\w:-]+)/g)]
        .filter(([, name = '']) => facts.scripts[name] === undefined)
        .map(([line]) => `${page}: ${line}`),
    );
    expect(problems).toEqual([]);
  });
});

const configurations = pages.flatMap((page) =>
  blocksOf(page)
    .filter(
      ({ language, text }) => language === 'yaml' && text.startsWith('# /etc/stowage/config.yaml'),
    )
    .map((block) => [placeOf(block), block.text] as const),
);

it.each(configurations)('every service takes the configuration of %s', async (_place, text) => {
  for (const config of Object.values(facts.configs)) {
    const outcome = await loadConfig(config, {
      argv: ['--strict', '--check-config'],
      env: {},
      version: '0.0.0',
      hostName: 'node-a',
      readFile: () => text,
    });
    expect(outcome).toMatchObject({ action: 'exit', code: 0 });
  }
});

/** What pages show, by the commands that print it. */
const shown = shellBlocks
  .filter(({ language }) => language === 'console')
  .flatMap((block) => shownCommands(block).map((one) => ({ ...one, place: placeOf(block) })));

it('what doctor prints on pages is what it finds: words, levels, and what to do', () => {
  const problems = shown.flatMap(({ output, place }) => {
    const found = [...rowsWith(output, 'LEVEL'), ...rowsWith(output, 'WHAT TO DO')];
    return found.flatMap(({ FINDING: id = '', LEVEL: level, 'WHAT TO DO': remedy }) => {
      const known = (catalogue as Readonly<Record<string, { level: string; remedy: string }>>)[id];
      if (known === undefined) return [`${place}: ${id}`];
      return [
        ...(level === undefined || level === known.level ? [] : [`${place}: ${id} ${level}`]),
        ...(remedy === undefined || remedy === known.remedy ? [] : [`${place}: ${id} ${remedy}`]),
      ];
    });
  });
  expect(problems).toEqual([]);
});

it('events that pages show are events', () => {
  const problems = shown.flatMap(({ output, place }) =>
    [...shapeOf(output).events, ...rowsWith(output, 'EVENT').map(({ EVENT: name = '' }) => name)]
      .filter((name) => !(eventNames as readonly string[]).includes(name))
      .map((name) => `${place}: ${name}`),
  );
  expect(problems).toEqual([]);
});

it('commands of quickstarts and runbooks stand with what they print', () => {
  const bare = shown
    .filter(({ place }) => /^docs\/(runbooks\/|quickstart-)/.test(place))
    .filter(({ output }) => output.length === 0);
  expect(bare).toEqual([]);
});

it('every runbook has a command of stowctl', () => {
  const without = pages
    .filter((page) => page.startsWith('docs/runbooks/'))
    .filter((page) => !shown.some((one) => one.place.startsWith(`${page}:`)));
  expect(without).toEqual([]);
});
