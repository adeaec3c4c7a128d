import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from now on nothing more reaches the disk, not even the file system's log. */
const shutdownScript =
  'open(F,"<",$ARGV[0]) or die "$!"; my $f=pack("L",2); ioctl(F,0x8004587d,$f) or die "$!"';

const quietly = (program: string, args: readonly string[]): boolean =>
  spawnSync(program, args, { stdio: 'ignore' }).status === 0;

/** Why power can't be cut here, or null when it can. */
export function volumesUnavailable(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting images needs root on Linux';
  for (const program of ['mkfs.ext4', 'losetup', 'perl', 'mount', 'truncate']) {
    if (!quietly('which', [program])) return `${program} is missing`;
  }
  return null;
}

/**
 * A disk of its own in a file, mounted through a loop device, whose power can be cut: exactly what was not synced is gone.
 * Needs root.
 */
export class Ext4Volume {
  readonly mountPoint: string;
  readonly #image: string;
  #mounted = false;

  constructor(directory: string, name: string, megabytes: number) {
    this.#image = join(directory, `${name}.img`);
    this.mountPoint = join(directory, name);
    mkdirSync(this.mountPoint, { recursive: true });
    execFileSync('truncate', ['-s', `${megabytes}M`, this.#image]);
    execFileSync('mkfs.ext4', ['-q', '-F', this.#image]);
    this.mount();
  }

  /** Mounts it (again). The kernel is told not to write by itself, so that only syncs count. */
  mount(): void {
    execFileSync('mount', ['-o', 'loop,commit=300,noauto_da_alloc', this.#image, this.mountPoint]);
    this.#mounted = true;
  }

  /** Cuts the power: writes and syncs fail from now on, what was not synced never happened. */
  cutPower(): void {
    execFileSync('perl', ['-e', shutdownScript, this.mountPoint]);
  }

  /** Unmounts; the processes that used it must be gone. */
  unmount(): void {
    if (!this.#mounted) return;
    execFileSync('umount', [this.mountPoint]);
    this.#mounted = false;
  }

  /** Unmounts if need be and removes the image. */
  destroy(): void {
    if (this.#mounted) quietly('umount', ['-l', this.mountPoint]);
    this.#mounted = false;
    if (existsSync(this.#image)) rmSync(this.#image);
  }
}
