import { appNames, configOf } from '../app-folders';
import { configPage, servicePage, stowctlPage } from './man-pages';
import { entry, plain } from './man-text';
import { stowctlSource } from './stowctl';

const edition = { version: '1.2.3', date: '2026-11-29' };

it.each([
  ['a\\b', 'a\\eb'],
  ['--all', '\\-\\-all'],
  [".hidden\n'quoted'", "\\&.hidden\n\\&'quoted'"],
  ['kubelet’s …', "kubelet's ..."],
  ['ü', '\\[u00FC]'],
])('%j is written so that troff prints it', (text, written) => {
  expect(plain(text)).toBe(written);
});

it('a term in a macro keeps its quotes', () => {
  expect(entry('say "yes"', 'one', 'two')).toBe('.TP\n.B "say \\(dqyes\\(dq"\none\n.IP\ntwo');
});

it('the page of stowctl has every command and flag of its table', async () => {
  const { commands, reachFlags, outputFlags } = await stowctlSource();
  const text = stowctlPage(commands, { reach: reachFlags, output: outputFlags }, edition);
  expect(text).toMatch(/^\.TH "STOWCTL" 1 "2026\\-11\\-29" "Stowage 1\.2\.3"\n/);
  for (const { name, summary, flags = [] } of commands) {
    expect(text).toContain(`.SS "stowctl ${plain(name)}`);
    expect(text).toContain(plain(summary));
    for (const flag of flags) expect(text).toContain(plain(`--${flag.name}`));
  }
  for (const { name } of [...reachFlags, ...outputFlags]) {
    expect(text).toContain(plain(`--${name}`));
  }
});

it('the pages of the services and of the configuration have every key once', async () => {
  const definitions = await Promise.all(appNames.map(configOf));
  const shared = configPage(definitions, edition);
  expect(shared).toContain('natsServers (STOWAGE_NATS_SERVERS)');
  for (const definition of definitions) {
    const own = servicePage(definition, definitions, edition);
    expect(own).toContain(`stowage\\-${plain(definition.app)} \\- `);
    for (const name of Object.keys(definition.keys)) {
      const yaml = definition.keys[name]?.yaml ?? name.replace(/Ms$/, '');
      const times = [own, shared].filter((text) => text.includes(`.B "${yaml} (STOWAGE_`));
      expect([definition.app, yaml, times.length]).toEqual([definition.app, yaml, 1]);
    }
  }
});
