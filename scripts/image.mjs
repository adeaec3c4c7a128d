/** `npm run image`: builds the container image that docker-compose.yml runs. NODE_IMAGE names another base image. */
import { buildImage } from './lib/image.mjs';
import { prepare } from './lib/prepare.mjs';

prepare();
buildImage(process.env['NODE_IMAGE']);
