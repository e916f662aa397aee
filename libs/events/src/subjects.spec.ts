import fc from 'fast-check';
import {
  checkAppName,
  commandSubject,
  eventFilter,
  eventNames,
  eventSource,
  eventSubject,
  nodeOfToken,
  parseEventSubject,
  sequenceText,
  SubjectError,
  subjectToken,
} from './index';

describe('event subjects', () => {
  it.each([
    ['worker-1', 'stowage.event.worker-1.image.pulled'],
    ['worker-1.example.net', 'stowage.event.worker-1_example_net.image.pulled'],
    ['10.0.0.7', 'stowage.event.10_0_0_7.image.pulled'],
    ['Build-Host', 'stowage.event.Build-Host.image.pulled'],
  ])('node %s', (node, subject) => {
    expect(eventSubject(node, 'ImagePulled')).toBe(subject);
    expect(parseEventSubject(subject)).toEqual({
      node,
      entity: 'image',
      event: 'pulled',
      name: 'ImagePulled',
    });
  });

  it.each(eventNames)('%s: the subject leads back to the name', (name) => {
    expect(parseEventSubject(eventSubject('n', name)).name).toBe(name);
  });

  it.each([
    ['', 'an empty name'],
    ['a b', 'a space'],
    ['a*', 'a wildcard'],
    ['a>', 'a wildcard'],
    ['a_b', 'an underscore, which stands for a dot'],
    ['a..b', 'an empty label'],
    ['.a', 'a leading dot'],
    ['a.', 'a trailing dot'],
    ['-a', 'a leading hyphen'],
    ['a-.b', 'a label that ends in a hyphen'],
    ['a\nb', 'a line break'],
    ['a\n', 'a trailing line break'],
    ['nodé', 'a letter outside ASCII'],
    ['a'.repeat(254), 'more than 253 characters'],
  ])('node %j is refused: %s', (node) => {
    expect(() => subjectToken(node)).toThrow(
      new SubjectError(
        'node',
        node,
        'at most 253 letters, digits, "-" and ".", each label beginning and ending with a letter or digit',
      ),
    );
  });

  it('refuses hostile node names in linear time', () => {
    const begin = process.hrtime.bigint();
    expect(() => subjectToken('a-'.repeat(500_000))).toThrow(SubjectError);
    expect(() => subjectToken(`${'a'.repeat(252)}!`)).toThrow(SubjectError);
    // Quadratic ones take minutes.
    expect(Number(process.hrtime.bigint() - begin) / 1e6).toBeLessThan(5000);
  });

  it('every node name becomes one token and comes back', () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 6 }), (labels) => {
        const node = labels.join('.');
        const token = subjectToken(node);
        expect(token).not.toMatch(/[.*>\s]/);
        expect(nodeOfToken(token)).toBe(node);
      }),
    );
  });

  it.each([
    ['another prefix', 'other.event.n.image.pulled'],
    ['too few tokens', 'stowage.event.n.image'],
    ['too many tokens', 'stowage.event.n.image.pulled.twice'],
    ['a wildcard for the node', 'stowage.event.*.image.pulled'],
  ])('%s is no event subject', (_case, subject) => {
    expect(() => parseEventSubject(subject)).toThrow(SubjectError);
  });

  it('an event of a later release has no name', () => {
    expect(parseEventSubject('stowage.event.n.image.melted')).toEqual({
      node: 'n',
      entity: 'image',
      event: 'melted',
    });
  });

  it.each([
    [{}, 'stowage.event.*.>'],
    [{ node: 'a.b' }, 'stowage.event.a_b.>'],
    [{ name: 'GarbageCollected' }, 'stowage.event.*.gc.collected'],
    [{ node: 'n', name: 'ThresholdExceeded' }, 'stowage.event.n.disk.threshold-exceeded'],
  ] as const)('filter of %j', (of, filter) => {
    expect(eventFilter(of)).toBe(filter);
  });
});

describe('other names', () => {
  it('commands', () => {
    expect(commandSubject('a.b', 'gc-worker', 'plan')).toBe('stowage.cmd.a_b.gc-worker.plan');
    expect(() => commandSubject('a', 'gc-worker', 'plan.all')).toThrow(
      'verb "plan.all" is not valid: lower-case letters, digits and "-", beginning with a letter',
    );
  });

  it('sources', () => {
    expect(eventSource('a.b', 'gc-worker')).toBe('/nodes/a.b/gc-worker');
    expect(() => checkAppName('../x')).toThrow(SubjectError);
  });

  it.each([
    [1, '0000000000000001'],
    [42, '0000000000000042'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ])('sequence %d orders as text', (sequence, expected) => {
    expect(sequenceText(sequence)).toBe(expected);
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53])('sequence %d is refused', (sequence) => {
    expect(() => sequenceText(sequence)).toThrow(RangeError);
  });
});
