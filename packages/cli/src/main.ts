import { run } from './program.ts';

/** The command `seriatim`. */
export async function main(): Promise<void> {
  // A reader that goes away (`… | head`) shows as an error event: the writes that follow say so to the command.
  process.stdout.on('error', () => {});
  process.exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    onInterrupt: (task) => {
      process.once('SIGINT', task);
      process.once('SIGTERM', task);
      return () => {
        process.off('SIGINT', task);
        process.off('SIGTERM', task);
      };
    },
  });
}
