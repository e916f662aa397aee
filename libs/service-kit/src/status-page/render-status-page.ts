import {
  ageText,
  catalogue,
  cellText,
  componentFinding,
  stateCell,
  type Cell,
  type Column,
  type Table,
} from '@stowage/status-view';
import type { ComponentHealth, Readiness } from '../health';
import { markup, type Html } from './markup';
import { style } from './style';
import type { StatusSection } from './types';

/** What does not change of a service while it runs. */
export interface ServiceFacts {
  readonly app: string;
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  readonly startedAt: Date;
}

export interface StatusPageContent {
  readonly facts: ServiceFacts;
  readonly readiness: Readiness;
  /** Below the health, in this order. */
  readonly sections: readonly StatusSection[];
  readonly now: Date;
  /** Seconds after which the browser loads the page again; undefined: it does not. */
  readonly refreshSeconds?: number;
}

/** A whole HTML document: no script, its own style, links to this service alone, relative. */
export function renderStatusPage(content: StatusPageContent): string {
  const { facts, readiness, sections, now, refreshSeconds } = content;
  const title = `${facts.app} on ${facts.node}`;
  const reload =
    refreshSeconds === undefined
      ? markup``
      : markup`<meta http-equiv="refresh" content="${refreshSeconds}" />`;
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${reload}<title>${title}: ${readiness.state}</title>
${style}
</head>
<body>
<header>
<h1>${title}</h1>
${factList(serviceFacts(facts, readiness, now))}
<nav aria-label="Pages of this service">
<a href="metrics">/metrics</a> <a href="healthz">/healthz</a> <a href="readyz">/readyz</a>
${refreshLinks(refreshSeconds)}
</nav>
</header>
<main>
${[healthSection(readiness, now), ...sections].map(sectionHtml)}
</main>
<footer>
<p class="dim">As of ${timeText(now)}. <code>stowctl status</code> and <code>stowctl doctor</code> show the same of all services of the node.</p>
</footer>
</body>
</html>
`.source;
}

const refreshLinks = (current: number | undefined): Html =>
  current === undefined
    ? markup`<a href="?refresh=10">Reload every 10 s</a> <a href="?refresh=60">every minute</a>`
    : markup`<span>Reloads every ${current} s.</span> <a href="?">Stop</a>`;

function serviceFacts(
  { version, pid, startedAt }: ServiceFacts,
  { state, phase }: Readiness,
  now: Date,
): [string, Cell][] {
  const shown = phase === 'running' ? state : `${state} (${phase})`;
  return [
    ['State', { text: shown, tone: stateTone(state) }],
    ['Version', version],
    ['Started', `${timeText(startedAt)}, ${ageText(startedAt.toISOString(), now.getTime())} ago`],
    ['Process', String(pid)],
  ];
}

function stateTone(state: string) {
  const cell = stateCell(state);
  return typeof cell === 'string' ? 'dim' : cell.tone;
}

function healthSection({ components }: Readiness, now: Date): StatusSection {
  return {
    title: 'Health',
    tables: [
      {
        columns: [
          { title: 'COMPONENT' },
          { title: 'STATE' },
          { title: 'FOR', align: 'right' },
          { title: 'CAUSE' },
          { title: 'WHAT TO DO' },
        ],
        rows: [...components].map(([name, health]) => componentRow(name, health, now)),
        empty: 'No component has reported yet.',
      },
    ],
  };
}

function componentRow(name: string, health: ComponentHealth, now: Date): Cell[] {
  const { state, since, reason, note } = health;
  const remedy = state === 'ok' ? '-' : catalogue[componentFinding({ name, state, reason })].remedy;
  const age = ageText(since.toISOString(), now.getTime());
  return [name, stateCell(state), age, reason ?? note ?? '-', remedy];
}

function sectionHtml({ title, facts = [], tables = [], notes = [] }: StatusSection): Html {
  const id = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return markup`<section aria-labelledby="${id}">
<h2 id="${id}">${title}</h2>
${facts.length === 0 ? markup`` : factList(facts)}
${tables.map((table) => tableHtml(table, table.heading ?? title))}
${notes.map((note) => markup`<p>${note}</p>\n`)}
</section>
`;
}

const factList = (facts: readonly (readonly [string, Cell])[]): Html =>
  markup`<dl>
${facts.map(([name, value]) => markup`<dt>${name}</dt><dd>${cellHtml(value)}</dd>\n`)}</dl>`;

function tableHtml({ heading, columns, rows, empty }: Table, label: string): Html {
  const above = heading === undefined ? markup`` : markup`<h3>${heading}</h3>\n`;
  if (rows.length === 0) {
    return empty === undefined ? markup`` : markup`${above}<p class="dim">${empty}</p>\n`;
  }
  return markup`${above}<div class="scroll" role="region" aria-label="${label}, table" tabindex="0">
<table>
<thead><tr>${columns.map((column) => markup`<th scope="col"${alignment(column)}>${column.title}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => rowHtml(row, columns))}</tbody>
</table>
</div>
`;
}

const rowHtml = (row: readonly Cell[], columns: readonly Column[]): Html =>
  markup`<tr>${columns.map(
    (column, at) => markup`<td${alignment(column)}>${cellHtml(row[at] ?? '')}</td>`,
  )}</tr>
`;

const alignment = ({ align }: Column): Html =>
  align === 'right' ? markup` class="right"` : markup``;

const cellHtml = (cell: Cell): Html =>
  typeof cell === 'string'
    ? markup`${cell}`
    : markup`<span class="${cell.tone}">${cellText(cell)}</span>`;

/** A time to the second, in UTC. */
const timeText = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;
