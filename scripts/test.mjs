/**
 * `npm test`: install, build, format, lint, types, unused code, all tests. The last line is `N passed, N failed, N skipped`;
 * each check counts as one. Further arguments go to vitest: `npm test -- packages/raft` checks everything and tests a part.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, checkNodeVersion, install, runTool } from './lib/prepare.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** @type {ReadonlyArray<readonly [string, () => number]>} */
const checks = [
  ['format and lint', () => runTool('biome', ['check', '--error-on-warnings', '.'])],
  ['types', () => runTool('tsc', ['-p', 'tsconfig.json', '--noEmit'])],
  ['unused code', () => runTool('knip', [])],
];

/**
 * Runs one step and says how it went.
 * @param {string} name
 * @param {() => number} step returns an exit code
 */
function passes(name, step) {
  const started = Date.now();
  const ok = step() === 0;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  return ok;
}

/**
 * Reads vitest's JSON report. A file that could not even be loaded has no tests in it and counts as one failure.
 * @param {string} file
 * @returns {Counts}
 */
function readReport(file) {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  let unloadable = 0;
  for (const suite of report.testResults) {
    if (suite.status === 'failed' && suite.assertionResults.length === 0) unloadable++;
  }
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloadable,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** @returns {Counts} */
function runTests() {
  const directory = mkdtempSync(join(tmpdir(), 'seriatim-test-'));
  const report = join(directory, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = runTool('vitest', ['run', ...reporters, ...process.argv.slice(2)]);
    const counts = readReport(report);
    // An unhandled rejection fails the run without failing a test.
    if (code !== 0 && counts.failed === 0) counts.failed = 1;
    return counts;
  } catch (error) {
    console.error(`vitest left no report: ${error instanceof Error ? error.message : error}`);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns {Counts} */
function runAll() {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  // Without dependencies and compiled packages nothing below means anything.
  if (!passes('install', install) || !passes('build', build)) return { ...counts, failed: 1 };
  for (const [name, check] of checks) {
    if (passes(name, check)) counts.passed++;
    else counts.failed++;
  }
  const tests = runTests();
  return {
    passed: counts.passed + tests.passed,
    failed: counts.failed + tests.failed,
    skipped: counts.skipped + tests.skipped,
  };
}

checkNodeVersion();
const { passed, failed, skipped } = runAll();
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
