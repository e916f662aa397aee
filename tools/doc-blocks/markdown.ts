import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Absolute path of the workspace. */
export const root = path.resolve(__dirname, '../..');

/** What is built or installed, and hidden folders. */
const skipped = /^(\..*|node_modules|dist|coverage)$/;

/** Every Markdown file of the repository, relative to the root, sorted. */
export const pages: readonly string[] = pagesIn('').sort();

function pagesIn(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) return skipped.test(entry.name) ? [] : pagesIn(name);
    return name.endsWith('.md') ? [name] : [];
  });
}

/** Text of a page, by its path relative to the root. */
export const textOf = (page: string): string => readFileSync(path.join(root, page), 'utf8');

/** A page without its code blocks. */
export const prose = (page: string): string => textOf(page).replaceAll(/^ *```[^]*?^ *```$/gm, '');

/** A fenced block of a page. */
export interface Block {
  /** Relative to the root. */
  readonly page: string;
  /** Line of its opening fence, from 1 on. */
  readonly line: number;
  /** First word after the fence; empty where there is none. */
  readonly language: string;
  /** The words after that one. */
  readonly info: string;
  /** Without the indentation of the fence. */
  readonly text: string;
  /** The comment that stands right before it, without its marks; empty where there is none. */
  readonly comment: string;
}

/** The fenced blocks of a page, in their order. */
export function blocksOf(page: string): Block[] {
  return blocksIn(textOf(page), page);
}

/** The fenced blocks of a text that is to be a page. */
export function blocksIn(text: string, page: string): Block[] {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const [, indent = '', fence = '', info = ''] = /^( *)(```+)(.*)$/.exec(lines[at] ?? '') ?? [];
    if (fence === '') continue;
    const end = lines.findIndex((line, index) => index > at && line.trim() === fence);
    if (end < 0) throw new Error(`${page}:${at + 1}: the block has no end`);
    const [language = '', ...more] = info.trim().split(' ');
    const body = lines.slice(at + 1, end).map((line) => line.replace(indent, ''));
    blocks.push({
      page,
      line: at + 1,
      language,
      info: more.join(' '),
      text: body.map((line) => `${line}\n`).join(''),
      comment: commentBefore(lines.slice(0, at)),
    });
    at = end;
  }
  return blocks;
}

/** A comment in one or several lines, with at most an empty line below it. */
function commentBefore(lines: readonly string[]): string {
  const above = lines.join('\n').replace(/\n+ *$/, '');
  const [, comment = ''] = /(?:^|\n) *<!--((?:(?!-->)[^])*)-->$/.exec(above) ?? [];
  return comment.replaceAll(/\s+/g, ' ').trim();
}

const shellLanguages = ['sh', 'bash', 'console', 'shell'];

/** Whether somebody would type it into a shell. */
export const isShell = ({ language }: Block): boolean => shellLanguages.includes(language);

/** All blocks of all pages that somebody would type into a shell. */
export const shellBlocks: readonly Block[] = pages.flatMap(blocksOf).filter(isShell);

/** How a block is called in messages. */
export const placeOf = ({ page, line }: Block): string => `${page}:${line}`;

/** A command that a page shows with what it prints. */
export interface ShownCommand {
  readonly command: string;
  /** The lines below it, up to the next command. */
  readonly output: readonly string[];
}

/** What a block has somebody type; of a `console` block only what follows the prompt. */
export function shownCommands(block: Block): ShownCommand[] {
  if (block.language !== 'console') return [{ command: block.text, output: [] }];
  const shown: { command: string; output: string[] }[] = [];
  for (const line of block.text.trimEnd().split('\n')) {
    const last = shown.at(-1);
    if (line.startsWith('$ ')) shown.push({ command: line.slice(2), output: [] });
    else if (last?.command.endsWith('\\') === true && last.output.length === 0)
      last.command += `\n${line.replace(/^> /, '')}`;
    else if (last === undefined) throw new Error(`${placeOf(block)}: begins without a prompt`);
    else last.output.push(line);
  }
  return shown;
}

/** The shell text of a block. */
export const scriptOf = (block: Block): string =>
  shownCommands(block)
    .map(({ command }) => command)
    .join('\n');
