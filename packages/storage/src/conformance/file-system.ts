/** What every {@link FileSystem} must do. What survives a crash is not tested here: only a simulated or real crash can. */
import assert from 'node:assert/strict';
import { join } from 'node:path/posix';
import type { FileSystem, OpenFile } from '../ports.ts';
import type { Suite } from './suite.ts';

/** A file system and a directory in it that exists and is empty. */
export interface FileSystemFixture {
  readonly files: FileSystem;
  readonly directory: string;
}

const text = (value: string): Uint8Array => Buffer.from(value);
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const rejectsWith = (run: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(run, { name: 'StorageError', code });

async function withFile(
  { files, directory }: FileSystemFixture,
  run: (file: OpenFile, path: string) => Promise<void>,
): Promise<void> {
  const path = join(directory, 'file');
  const file = await files.create(path);
  await run(file, path);
  await file.close();
}

/** Registers the suite; `create` makes a new fixture for each test. */
export function fileSystemConformance(suite: Suite, create: () => Promise<FileSystemFixture>): void {
  contentConformance(suite, create);
  namesConformance(suite, create);
}

function contentConformance(suite: Suite, create: () => Promise<FileSystemFixture>): void {
  suite.test('writes parts one behind the other at a position and reads them back', async () => {
    await withFile(await create(), async (file) => {
      await file.write(0, [text('abc'), text(''), text('def')]);
      await file.write(2, [text('XY')]);
      assert.equal(textOf(await file.read(0, 6)), 'abXYef');
      assert.equal(textOf(await file.read(3, 2)), 'Ye');
    });
  });
  suite.test('takes thousands of parts in one write', async () => {
    await withFile(await create(), async (file) => {
      await file.write(
        1,
        Array.from({ length: 3_000 }, (_, i) => text(String(i % 10))),
      );
      assert.equal(await file.size(), 3_001);
      assert.equal(textOf(await file.read(2_999, 10)), '89');
    });
  });
  suite.test('reads fewer bytes only at the end, and none behind it', async () => {
    await withFile(await create(), async (file) => {
      await file.write(0, [text('abc')]);
      assert.equal(textOf(await file.read(1, 100)), 'bc');
      assert.equal((await file.read(3, 10)).length, 0);
      assert.equal((await file.read(50, 10)).length, 0);
    });
  });
  suite.test('gives memory that a later write does not change', async () => {
    await withFile(await create(), async (file) => {
      await file.write(0, [text('abc')]);
      const read = await file.read(0, 3);
      await file.write(0, [text('xyz')]);
      assert.equal(textOf(read), 'abc');
    });
  });
  suite.test(
    'takes the bytes as they are when a write resolves: the caller may use its memory again',
    async () => {
      await withFile(await create(), async (file) => {
        const part = Buffer.from('abc');
        await file.write(0, [part]);
        part.fill(0);
        assert.equal(textOf(await file.read(0, 3)), 'abc');
      });
    },
  );
  suite.test('fills what lies between with zeros when written or extended behind the end', async () => {
    await withFile(await create(), async (file) => {
      await file.write(4, [text('e')]);
      await file.truncate(7);
      assert.deepEqual([...(await file.read(0, 10))], [0, 0, 0, 0, 101, 0, 0]);
    });
  });
  suite.test('cuts a file, and what was behind does not come back', async () => {
    await withFile(await create(), async (file) => {
      await file.write(0, [text('abcdef')]);
      await file.truncate(2);
      await file.sync();
      await file.truncate(4);
      assert.deepEqual([...(await file.read(0, 10))], [97, 98, 0, 0]);
    });
  });
  suite.test('preallocates zeros and keeps what is there', async () => {
    await withFile(await create(), async (file) => {
      await file.write(0, [text('ab')]);
      await file.preallocate(100_000);
      assert.equal(await file.size(), 100_000);
      assert.equal(textOf(await file.read(0, 2)), 'ab');
      assert.ok((await file.read(2, 100_000)).every((byte) => byte === 0));
      await file.preallocate(10);
      assert.equal(await file.size(), 100_000);
      await file.sync();
    });
  });
}

function namesConformance(suite: Suite, create: () => Promise<FileSystemFixture>): void {
  suite.test('creates only files that do not exist, opens only those that do', async () => {
    const { files, directory } = await create();
    const path = join(directory, 'a');
    await rejectsWith(files.open(path, 'readWrite'), 'notFound');
    await (await files.create(path)).close();
    await rejectsWith(files.create(path), 'exists');
    await rejectsWith(files.create(join(directory, 'none', 'a')), 'notFound');
  });
  suite.test('refuses to write to a file opened for reading', async () => {
    const { files, directory } = await create();
    const path = join(directory, 'a');
    await (await files.create(path)).close();
    const file = await files.open(path, 'read');
    await assert.rejects(file.write(0, [text('x')]), { name: 'StorageError' });
    await file.close();
  });
  suite.test('two openings of a file see each other’s writes', async () => {
    const { files, directory } = await create();
    const path = join(directory, 'a');
    const writer = await files.create(path);
    const reader = await files.open(path, 'read');
    await writer.write(0, [text('abc')]);
    assert.equal(textOf(await reader.read(0, 3)), 'abc');
    await writer.close();
    await reader.close();
  });
  suite.test('lists names sorted, files and directories', async () => {
    const { files, directory } = await create();
    for (const name of ['b', 'a', 'c']) await (await files.create(join(directory, name))).close();
    await files.makeDirectory(join(directory, 'aa', 'deep'));
    await files.makeDirectory(join(directory, 'aa', 'deep'));
    assert.deepEqual(await files.list(directory), ['a', 'aa', 'b', 'c']);
    assert.deepEqual(await files.list(join(directory, 'aa')), ['deep']);
    await rejectsWith(files.list(join(directory, 'none')), 'notFound');
  });
  suite.test('renames over an existing file, and an open file stays open', async () => {
    const { files, directory } = await create();
    const [from, to] = [join(directory, 'from'), join(directory, 'to')];
    await (await files.create(to)).close();
    const file = await files.create(from);
    await file.write(0, [text('new')]);
    await files.rename(from, to);
    await files.syncDirectory(directory);
    await file.write(3, [text('er')]);
    await file.close();
    const read = await files.open(to, 'read');
    assert.equal(textOf(await read.read(0, 10)), 'newer');
    await read.close();
    assert.deepEqual(await files.list(directory), ['to']);
    await rejectsWith(files.rename(from, to), 'notFound');
  });
  suite.test('removes files and empty directories', async () => {
    const { files, directory } = await create();
    const path = join(directory, 'a');
    await (await files.create(path)).close();
    await files.unlink(path);
    await rejectsWith(files.unlink(path), 'notFound');
    await files.makeDirectory(join(directory, 'd'));
    await files.removeDirectory(join(directory, 'd'));
    assert.deepEqual(await files.list(directory), []);
  });
  suite.test('tells the free space', async () => {
    const { files, directory } = await create();
    assert.ok((await files.freeBytes(directory)) > 0);
  });
}
