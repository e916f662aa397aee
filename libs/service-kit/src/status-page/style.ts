import { createHash } from 'node:crypto';
import { Html } from './markup';

/*
 * Colours of text stand out from their background by 4.5 to 1 at least, in light and in dark. A
 * table that is wider than the page scrolls by itself.
 */
const css = `
:root{color-scheme:light dark;--text:#1b1f24;--soft:#57606a;--page:#fff;--line:#d0d7de;--link:#0550ae;--good:#116329;--warning:#7d4e00;--bad:#a40e26}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9da7b1;--page:#0d1117;--line:#3d444d;--link:#79c0ff;--good:#56d364;--warning:#e3b341;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:90rem;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1rem 0 .25rem}
a{color:var(--link)}
nav a{margin-right:1rem}
p{margin:.5rem 0}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.1rem 1rem;margin:.5rem 0}
dt{color:var(--soft)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0;border-bottom:1px solid var(--line);max-width:40rem}
th{color:var(--soft);font-weight:600;white-space:nowrap}
.right{text-align:right}
.good{color:var(--good)}
.warning{color:var(--warning);font-weight:600}
.bad{color:var(--bad);font-weight:600}
.dim{color:var(--soft)}
.strong{font-weight:600}
`;

/** The page's own style; nothing else may style it. */
export const style = new Html(`<style>${css}</style>`);

const hash = createHash('sha256').update(css).digest('base64');

/** Nothing may run, nothing may be loaded, no other page may show this one. */
export const statusPageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${hash}'`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
};
