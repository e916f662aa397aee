import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkIntegrity } from './node-release';

it('what is not pinned is refused, with both hashes', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-integrity-'));
  const file = path.join(folder, 'node.tgz');
  // sha512 of "abc", as RFC 6234 has it.
  const abc =
    'sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==';
  writeFileSync(file, 'abc');
  expect(() => checkIntegrity(file, abc)).not.toThrow();
  writeFileSync(file, 'abd');
  expect(() => checkIntegrity(file, abc)).toThrow(
    /is not what is pinned: it has sha512-.*, wanted is sha512-3a81/,
  );
  rmSync(folder, { recursive: true });
});
