/** The parts of what stowctl prints that do not depend on the node. */
export interface Shape {
  /** Titles of the columns of each table. */
  readonly headers: readonly (readonly string[])[];
  /** Names of events, of lines of events. */
  readonly events: readonly string[];
  /** Other lines, without numbers and names. */
  readonly lines: readonly string[];
}

const isHeader = (line: string): boolean =>
  /^[#A-Z][A-Z #]*$/.test(line) && line.trim().includes('  ');

/** What a printed text has of tables, events and other lines. */
export function shapeOf(output: readonly string[]): Shape {
  const headers: string[][] = [];
  const events: string[] = [];
  const lines: string[] = [];
  let isInTable = false;
  for (const line of output) {
    const [, event] = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\S+ {2}([A-Z]\w+) {2}\S/.exec(line) ?? [];
    if (isHeader(line)) {
      headers.push(line.trim().split(/ {2,}/));
      isInTable = true;
    } else if (line === '') isInTable = false;
    else if (event !== undefined) events.push(event);
    else if (!isInTable) lines.push(skeleton(line));
  }
  return { headers, events, lines };
}

/** A line without what differs from node to node: sizes, numbers, times, ids, names in it. */
export const skeleton = (line: string): string =>
  line
    .replaceAll(/\bplan-[0-9a-f]+\b/g, 'PLAN')
    .replaceAll(/^\S+(?=: )/g, 'NODE')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/\d+(\.\d+)? ([KMG]i)?B\b/g, 'SIZE')
    .replaceAll(/\d+/g, 'N');

/** Lines of a table with this column, as cells by their titles. */
export function rowsWith(output: readonly string[], title: string): Record<string, string>[] {
  const rows: Record<string, string>[] = [];
  let places: { name: string; from: number }[] = [];
  for (const line of output) {
    if (isHeader(line)) {
      const found = [...line.matchAll(/\S+( \S+)*/g)].map(({ 0: name, index }) => ({
        name,
        from: index,
      }));
      places = found.some(({ name }) => name === title) ? found : [];
    } else if (line === '') places = [];
    else if (places.length > 0) {
      const cells = places.map(({ name, from }, index) => {
        return [name, line.slice(from, places[index + 1]?.from).trim()];
      });
      rows.push(Object.fromEntries(cells) as Record<string, string>);
    }
  }
  return rows;
}
