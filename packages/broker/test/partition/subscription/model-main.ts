/** Runs the model as a program of its own, for mistakes put in on purpose: says whether it noticed anything. */
import { runModel } from './model-world.ts';

const [runs = '1000'] = process.argv.slice(2);
try {
  await runModel({ runs: Number(runs), seed: 1 });
  console.log('nothing noticed');
} catch (error) {
  console.log(`noticed: ${error instanceof Error ? error.message : String(error)}`);
}
