import { parseNetworkList, parsePlugin, parseSinglePlugin, withPlugins } from './cni-config';

const list = (fields: object) =>
  parseNetworkList(JSON.stringify({ name: 'net', plugins: [{ type: 'bridge' }], ...fields }));

it('a list has its plugins in order, with the capabilities that are true', () => {
  const text = JSON.stringify({
    cniVersion: '1.0.0',
    name: 'net-1.a_b',
    disableCheck: true,
    plugins: [
      { type: 'bridge', bridge: 'br0' },
      { type: 'portmap', capabilities: { portMappings: true, bandwidth: false } },
    ],
  });
  const parsed = parseNetworkList(text);
  expect(parsed).toMatchObject({
    name: 'net-1.a_b',
    cniVersion: '1.0.0',
    disableCheck: true,
    disableGc: false,
    inlinedOnly: false,
    text,
  });
  expect(parsed.plugins.map(({ type }) => type)).toEqual(['bridge', 'portmap']);
  expect(parsed.plugins.map(({ capabilities }) => [...capabilities])).toEqual([
    [],
    ['portMappings'],
  ]);
});

it('a single plugin becomes a list of one, which is also what is kept', () => {
  const parsed = parseSinglePlugin('{"cniVersion":"0.4.0","name":"one","type":"ptp","mtu":1400}');
  expect(parsed).toMatchObject({ name: 'one', cniVersion: '0.4.0', plugins: [{ type: 'ptp' }] });
  expect(parseNetworkList(parsed.text)).toMatchObject({
    name: 'one',
    cniVersion: '0.4.0',
    plugins: [{ raw: { cniVersion: '0.4.0', name: 'one', type: 'ptp', mtu: 1400 } }],
  });
});

it.each([
  ['none', {}, '0.1.0'],
  ['an empty one', { cniVersion: '' }, '0.1.0'],
  ['one', { cniVersion: '0.3.1' }, '0.3.1'],
  ['several', { cniVersions: ['0.4.0', '1.1.0', '1.0.0'] }, '1.1.0'],
  ['several, of which the newest is not known', { cniVersions: ['0.4.0', '2.0.0'] }, '0.4.0'],
  ['one beside several', { cniVersion: '1.0.0', cniVersions: ['0.3.1'] }, '1.0.0'],
])('of the versions the newest known one counts: %s', (_what, fields, version) => {
  expect(list(fields).cniVersion).toBe(version);
});

it.each([
  ['true', true],
  ['TRUE', true],
  ['False', false],
  [true, true],
  [false, false],
])('a flag that is %j', (value, wanted) => {
  expect(list({ disableCheck: value }).disableCheck).toBe(wanted);
  expect(list({ disableGC: value }).disableGc).toBe(wanted);
  expect(list({ loadOnlyInlinedPlugins: value }).inlinedOnly).toBe(wanted);
});

it.each<[string, string, string]>([
  ['text', 'name: net', 'it is not JSON'],
  ['a list of JSON', '[]', 'it is not a JSON object'],
  ['no name', '{"plugins":[{"type":"a"}]}', 'it has no name'],
  [
    'a name with a slash',
    '{"name":"../a","plugins":[{"type":"a"}]}',
    'the name "../a" is not letters',
  ],
  [
    'a name that starts with a dot',
    '{"name":".a","plugins":[{"type":"a"}]}',
    'the name ".a" is not',
  ],
  ['no plugins', '{"name":"a","plugins":[]}', 'plugins is not a list with at least one entry'],
  ['plugins as an object', '{"name":"a","plugins":{}}', 'plugins is not a list'],
  ['a plugin without type', '{"name":"a","plugins":[{"name":"b"}]}', 'a plugin has no type'],
  ['a type that is a path', '{"name":"a","plugins":[{"type":"../sh"}]}', 'the type "../sh" is not'],
  [
    'an unknown version',
    '{"name":"a","cniVersion":"2.0.0","plugins":[{"type":"a"}]}',
    'cniVersion 2.0.0 is not one of 0.1.0',
  ],
  [
    'a version that is a number',
    '{"name":"a","cniVersion":1,"plugins":[{"type":"a"}]}',
    'cniVersion is not a text',
  ],
  [
    'versions that are numbers',
    '{"name":"a","cniVersions":[1],"plugins":[{"type":"a"}]}',
    'cniVersions is not a list of texts',
  ],
  [
    'only unknown versions',
    '{"name":"a","cniVersions":["3.0.0"],"plugins":[{"type":"a"}]}',
    'cniVersions has none of',
  ],
  [
    'a flag that is neither',
    '{"name":"a","disableCheck":"maybe","plugins":[{"type":"a"}]}',
    'disableCheck is not true or false',
  ],
  [
    'inlined plugins alone, and none',
    '{"name":"a","loadOnlyInlinedPlugins":true}',
    'loadOnlyInlinedPlugins is true and it has no plugins',
  ],
])('refuses a list with %s', (_what, text, problem) => {
  expect(() => parseNetworkList(text)).toThrow(problem);
});

it('refuses a list in the file of a single plugin', () => {
  expect(() => parseSinglePlugin('{"name":"a","plugins":[{"type":"b"}]}')).toThrow(
    'it has no type; a list belongs into a .conflist file',
  );
});

it('plugins that stand elsewhere come last, and are kept with the list', () => {
  const whole = withPlugins(list({ cniVersion: '1.0.0' }), [parsePlugin('{"type":"tuning"}')]);
  expect(whole.plugins.map(({ type }) => type)).toEqual(['bridge', 'tuning']);
  expect(parseNetworkList(whole.text)).toMatchObject({
    inlinedOnly: true,
    plugins: [{ type: 'bridge' }, { type: 'tuning' }],
  });
});
