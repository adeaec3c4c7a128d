/** The container image: production files of the broker and the CLI on a Node base image. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pnpmCommand, root, run } from './prepare.mjs';

/** What the image is called here and in docker-compose.yml. */
export const imageName = 'seriatim:dev';

const folder = join(root, '.image');

/** Copies what production needs, dependencies included, to .image/. */
function collectFiles() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of ['broker', 'cli']) {
    const [npx, args] = pnpmCommand([
      '--filter',
      `@seriatim/${name}`,
      'deploy',
      '--legacy',
      '--prod',
      join(folder, name),
    ]);
    if (run(npx, args) !== 0) throw new Error(`pnpm could not collect the files of @seriatim/${name}`);
  }
}

/**
 * Builds the image.
 * @param {string} [nodeImage] base image with Node 24 on Debian; the Dockerfile's own default otherwise
 * @param {NodeJS.ProcessEnv} [env] with DOCKER_HOST, where the engine is not the default one
 */
export function buildImage(nodeImage, env = process.env) {
  console.log('Collecting the production files ...');
  collectFiles();
  console.log(`Building ${imageName} ...`);
  const base = nodeImage === undefined ? [] : ['--build-arg', `NODE_IMAGE=${nodeImage}`];
  const args = [
    'build',
    '--quiet',
    '--file',
    join('cluster', 'Dockerfile'),
    '--tag',
    imageName,
    ...base,
    '.',
  ];
  if (run('docker', args, { env }) !== 0) throw new Error('docker build failed; see the lines above');
}
