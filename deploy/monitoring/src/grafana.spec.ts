import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { dashboards as definitions } from './dashboards';
import { monitoringDir } from './rules';

/**
 * What is delivered for Grafana and Prometheus, as far as it can be judged without a Grafana: the
 * files themselves, and that compose mounts each where the other expects it.
 */

const root = path.resolve(monitoringDir, '../..');
const read = (file: string): unknown =>
  parse(readFileSync(path.join(root, file), 'utf8'), { merge: true });

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Source {
  readonly type: string;
  readonly uid: string;
}

interface Model {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: Place;
    readonly datasource?: Source;
    readonly targets?: readonly { readonly refId: string; readonly datasource?: Source }[];
  }[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query?: string;
      readonly datasource?: Source;
    }[];
  };
}

const folder = path.join(monitoringDir, 'dashboards');
const files = readdirSync(folder).map((name) => {
  const text = readFileSync(path.join(folder, name), 'utf8');
  return { name, text, model: JSON.parse(text) as Model };
});

/** Variables of Grafana itself that are used. */
const ofGrafana = ['__rate_interval', '__range', '__all', '__value', '__url_time_range'];

/** The source that the variable of the dashboard chooses. */
const chosen: Source = { type: 'prometheus', uid: '${datasource}' };

it('each dashboard has a file and a uid of its own', () => {
  expect(files.map(({ name }) => name).sort()).toEqual(
    definitions.map(({ name }) => `${name}.json`).sort(),
  );
  for (const { name, model } of files) {
    expect(model.uid).toBe(`stowage-${name.replace('.json', '')}`);
  }
  const titles = files.map(({ model }) => model.title);
  expect(new Set(titles).size).toBe(titles.length);
});

describe.each(files)('$name', ({ text, model }) => {
  const { panels, templating } = model;

  it('takes everything from the source that its variable chooses', () => {
    expect(templating.list[0]).toMatchObject({
      name: 'datasource',
      type: 'datasource',
      query: 'prometheus',
    });
    for (const { name, datasource } of templating.list.slice(1)) {
      expect([name, datasource]).toEqual([name, chosen]);
    }
    for (const { title, type, datasource, targets = [] } of panels) {
      if (type === 'row') continue;
      expect([title, datasource]).toEqual([title, chosen]);
      expect([title, targets.length]).toEqual([title, expect.any(Number)]);
      for (const target of targets)
        expect([title, target.datasource ?? chosen]).toEqual([title, chosen]);
      const refs = targets.map(({ refId }) => refId);
      expect([title, new Set(refs).size]).toEqual([title, targets.length]);
    }
  });

  it('names no variable and no dashboard that there is not', () => {
    const known = [...templating.list.map(({ name }) => name), ...ofGrafana];
    const named = [...text.matchAll(/\$(?:\{(\w+)[^}]*\}|(\w+))/g)].map(
      ([, braced, plain]) => braced ?? plain ?? '',
    );
    expect(named.length).toBeGreaterThan(10);
    expect([...new Set(named)].filter((name) => !known.includes(name))).toEqual([]);
    const linked = [...text.matchAll(/\/d\/([\w-]+)/g)].map(([, uid]) => uid);
    const uids = files.map((file) => file.model.uid);
    expect(linked.filter((uid) => !uids.includes(uid ?? ''))).toEqual([]);
  });

  it('has panels beside each other: none lies on another or beyond the grid, and each has an id', () => {
    const ids = panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { title, gridPos } of panels) {
      expect([title, gridPos.x >= 0 && gridPos.w > 0 && gridPos.h > 0]).toEqual([title, true]);
      expect([title, gridPos.x + gridPos.w <= 24]).toEqual([title, true]);
    }
    const pairs = panels.flatMap((one, at) =>
      panels.slice(at + 1).map((other) => [one, other] as const),
    );
    const lying = pairs.filter(([one, other]) => overlap(one.gridPos, other.gridPos));
    expect(lying.map(([one, other]) => `${one.title} on ${other.title}`)).toEqual([]);
  });
});

const overlap = (a: Place, b: Place): boolean =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

describe('compose', () => {
  const { services, volumes } = read('docker-compose.yml') as {
    services: Record<
      string,
      {
        image: string;
        command?: string[];
        volumes: string[];
        extra_hosts?: string[];
        build?: { args: Record<string, unknown> };
      }
    >;
    volumes: Record<string, unknown>;
  };
  /** Where a service finds a path of the repository; variables have their defaults. */
  const mounted = (service: string): Map<string, string> =>
    new Map(
      (services[service]?.volumes ?? []).map((volume) => {
        const [source = '', target = ''] = volume
          .replaceAll(/\$\{\w+:-([^}]*)\}/g, (_, text: string) => text)
          .split(':');
        return [target, source];
      }),
    );

  it.each(['prometheus', 'grafana'])('%s finds each mounted path in the repository', (service) => {
    for (const source of mounted(service).values()) {
      const isThere = source.startsWith('./')
        ? existsSync(path.join(root, source))
        : source in volumes;
      expect([source, isThere]).toEqual([source, true]);
    }
  });

  it('Grafana is provisioned from where it looks, with fields that it knows', () => {
    const grafana = mounted('grafana');
    // Unless GF_PATHS_PROVISIONING says otherwise.
    expect(grafana.get('/etc/grafana/provisioning')).toBe(
      './deploy/monitoring/grafana/provisioning',
    );
    const provisioning = 'deploy/monitoring/grafana/provisioning';
    expect(readdirSync(path.join(root, provisioning)).sort()).toEqual([
      'dashboards',
      'datasources',
    ]);
    const { providers } = providersFile.parse(read(`${provisioning}/dashboards/stowage.yaml`));
    expect(providers.map(({ options }) => grafana.get(options.path))).toEqual([
      './deploy/monitoring/dashboards',
    ]);
    const { datasources } = datasourcesFile.parse(read(`${provisioning}/datasources/stowage.yaml`));
    expect(datasources.map(({ type, url }) => [type, url])).toEqual([
      ['prometheus', 'http://prometheus:9090'],
    ]);
    expect(services).toHaveProperty('prometheus');
  });

  it('a field that Grafana does not know is refused, as a check of this one', () => {
    const provider = { name: 'a', type: 'file', options: { path: '/a' } };
    expect(providersFile.safeParse({ apiVersion: 1, providers: [provider] }).success).toBe(true);
    const wrong = { ...provider, allowUIUpdates: false };
    expect(providersFile.safeParse({ apiVersion: 1, providers: [wrong] }).success).toBe(false);
  });

  it('Prometheus finds its rules, and every service at the port that it has there', () => {
    const prometheus = mounted('prometheus');
    const { rule_files, scrape_configs } = read('deploy/monitoring/prometheus.yml') as {
      rule_files: string[];
      scrape_configs: {
        job_name: string;
        static_configs?: { targets: string[] }[];
        file_sd_configs?: { files: string[] }[];
      }[];
    };
    for (const file of rule_files) {
      const source = prometheus.get(path.dirname(file)) ?? '';
      expect(existsSync(path.join(root, source, path.basename(file)))).toBe(true);
    }
    const ownServices = Object.entries(services).filter(([, { build }]) => build !== undefined);
    expect(scrape_configs.map(({ job_name }) => job_name).sort()).toEqual(
      ownServices.map(([name]) => `stowage-${name}`).sort(),
    );
    for (const [name, { build }] of ownServices) {
      const job = scrape_configs.find(({ job_name }) => job_name === `stowage-${name}`);
      const files = job?.file_sd_configs?.flatMap((config) => config.files) ?? [];
      // docker-shim is on the network of the host, and only with its profile.
      const chosen = files.map(
        (file) => [prometheus.get(file), 'targets/docker-shim.yml'] as const,
      );
      for (const [source, other] of chosen) {
        expect(read(source ?? '')).toEqual([]);
        const [group] = read(`deploy/monitoring/${other}`) as { targets: string[] }[];
        const [host, port] = group?.targets[0]?.split(':') ?? [];
        expect(services.prometheus?.extra_hosts).toContain(`${String(host)}:host-gateway`);
        expect(port).toBe(String(build?.args.HTTP_PORT));
      }
      const targets = job?.static_configs?.flatMap((config) => config.targets) ?? [];
      if (files.length === 0) expect(targets).toEqual([`${name}:${String(build?.args.HTTP_PORT)}`]);
    }
  });
});

/** Provisioning of dashboards, as Grafana's documentation has it. */
const providersFile = z.strictObject({
  apiVersion: z.literal(1),
  providers: z.array(
    z.strictObject({
      name: z.string(),
      orgId: z.number().optional(),
      folder: z.string().optional(),
      folderUid: z.string().optional(),
      type: z.literal('file'),
      disableDeletion: z.boolean().optional(),
      editable: z.boolean().optional(),
      updateIntervalSeconds: z.number().optional(),
      allowUiUpdates: z.boolean().optional(),
      options: z.strictObject({
        path: z.string().startsWith('/'),
        foldersFromFilesStructure: z.boolean().optional(),
      }),
    }),
  ),
});

/** Provisioning of data sources, the same. */
const datasourcesFile = z.strictObject({
  apiVersion: z.literal(1),
  deleteDatasources: z.array(z.object({ name: z.string() })).optional(),
  prune: z.boolean().optional(),
  datasources: z.array(
    z.strictObject({
      name: z.string(),
      uid: z.string().optional(),
      type: z.string(),
      access: z.enum(['proxy', 'direct']).optional(),
      orgId: z.number().optional(),
      url: z.url(),
      isDefault: z.boolean().optional(),
      version: z.number().optional(),
      editable: z.boolean().optional(),
      jsonData: z.strictObject({
        timeInterval: z.string().optional(),
        httpMethod: z.enum(['GET', 'POST']).optional(),
        manageAlerts: z.boolean().optional(),
      }),
    }),
  ),
});
