import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { repository } from './source-files.ts';

/** How a program ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the compiled `seriatim` as a user would, against these endpoints. */
export function seriatim(endpoints: readonly string[], ...args: readonly string[]): Promise<CommandResult> {
  const program = join(repository, 'packages', 'cli', 'bin', 'seriatim.js');
  const env = { ...process.env, SERIATIM_ENDPOINTS: endpoints.join(',') };
  const options = { env, maxBuffer: 256 * 1024 * 1024, timeout: 90_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}
