import type { RouteFilter } from '@seriatim/client';
import type { Route } from '@seriatim/protocol';
import { type Terminal, write, writeJson, writeTable } from './terminal.ts';
import { withAdmin } from './topic-command.ts';
import type { CommonOptions } from './usage.ts';

/** `route get` */
export async function getRoute(
  terminal: Terminal,
  topic: string,
  group: string,
  options: CommonOptions,
): Promise<void> {
  const route = await withAdmin(options, (admin) =>
    admin.getRoute(topic, group, { timeoutMilliseconds: options.timeout }),
  );
  if (options.json) await writeJson(terminal, routeLine(route));
  else {
    const line = routeLine(route);
    await writeTable(terminal, Object.keys(line), [Object.values(line)]);
  }
}

/** `route list`: one line a route, as they come, so that a million routes need no memory. */
export async function listRoutes(
  terminal: Terminal,
  filter: RouteFilter,
  options: CommonOptions,
): Promise<void> {
  await withAdmin(options, async (admin) => {
    if (!options.json) await write(terminal.stdout, 'partition\tepoch\tleader\tlastSequence\tgroup\n');
    for await (const route of admin.listRoutes(filter)) {
      const { partition, epoch, leader, lastSequence, group } = route;
      if (options.json) await writeJson(terminal, routeLine(route));
      else
        await write(
          terminal.stdout,
          `${partition}\t${epoch}\t${leader}\t${lastSequence}\t${JSON.stringify(group)}\n`,
        );
    }
  });
}

function routeLine(route: Route): Record<string, string | number> {
  const { topic, group, partition, epoch, leader, lastSequence, lastAccessMs } = route;
  return { topic, group, partition, epoch, leader, lastSequence, lastAccess: lastAccessMs };
}
