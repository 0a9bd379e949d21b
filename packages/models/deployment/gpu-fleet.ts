// The GPUs that a deployment is planned for.
//
// Owns how a fleet is written (`8xH200`, `2x8xH100`, `4x48GB`), what memory the makers' cards report, and of which
// generation they are. Knows nothing of models. Memory counts in MiB as `nvidia-smi` reports it; a size in GB is the maker's, of which
// 80GB are 80 GiB.

/** NVIDIA's, which decides for which cards kernels are published. */
export type Generation = 'Ampere' | 'Ada' | 'Hopper' | 'Blackwell';

/** The narrowest numbers that a generation multiplies; narrower weights are widened on the way. */
export const narrowest = { Ampere: 'bf16', Ada: 'fp8', Hopper: 'fp8', Blackwell: 'fp4' } as const;

export interface Gpu {
  readonly name: string;
  readonly memoryMiB: number;
  /** undefined where the card was given by its memory. */
  readonly generation: Generation | undefined;
}

export interface Fleet {
  readonly gpu: Gpu;
  readonly count: number;
  /** As many as share NVLink or a board; what spans more goes over the network. */
  readonly perNode: number;
}

/** What the driver keeps: PyTorch finds 79.1 GiB of an H100's 79.6, 139.8 of an H200's 140.4, 39.4 of an A100's 40. */
const driverMiB = 0.6 * 1024;

export const gpus: readonly Gpu[] = [
  { name: 'B300', memoryMiB: 274_658, generation: 'Blackwell' },
  { name: 'B200', memoryMiB: 183_359, generation: 'Blackwell' },
  { name: 'H200', memoryMiB: 143_771, generation: 'Hopper' },
  { name: 'H100', memoryMiB: 81_559, generation: 'Hopper' },
  { name: 'H800', memoryMiB: 81_559, generation: 'Hopper' },
  { name: 'H20', memoryMiB: 97_871, generation: 'Hopper' },
  { name: 'A100-80G', memoryMiB: 81_920, generation: 'Ampere' },
  { name: 'A100-40G', memoryMiB: 40_960, generation: 'Ampere' },
  { name: 'A800-80G', memoryMiB: 81_920, generation: 'Ampere' },
  { name: 'RTX-PRO-6000', memoryMiB: 97_887, generation: 'Blackwell' },
  { name: 'RTX-6000-ADA', memoryMiB: 49_140, generation: 'Ada' },
  { name: 'RTX-A6000', memoryMiB: 49_140, generation: 'Ampere' },
  { name: 'L40S', memoryMiB: 46_068, generation: 'Ada' },
  { name: 'L4', memoryMiB: 23_034, generation: 'Ada' },
  { name: 'RTX-5090', memoryMiB: 32_607, generation: 'Blackwell' },
  { name: 'RTX-4090', memoryMiB: 24_564, generation: 'Ada' },
];

const otherNames: Readonly<Record<string, string>> = {
  ...{ A100: 'A100-80G', A800: 'A800-80G', '5090': 'RTX-5090', '4090': 'RTX-4090', A6000: 'RTX-A6000' },
  ...{ RTX5090: 'RTX-5090', RTX4090: 'RTX-4090', RTXA6000: 'RTX-A6000' },
};

/** Bytes that a program can have of a card. */
export function usableBytes({ memoryMiB }: Gpu): number {
  return Math.max(0, memoryMiB - driverMiB) * 2 ** 20;
}

/** Reads `COUNTxNAME`, `NODESxCOUNTxNAME` or a memory such as `48GB` for the name; throws one line that lists the names. */
export function parseFleet(text: string, gpusPerNode = 8): Fleet {
  const match = /^(?:(\d+)x)?(?:(\d+)x)?([a-z0-9.-]+)$/i.exec(text.trim());
  const [first, second] = [match?.[1], match?.[2]].map((digits) => (digits === undefined ? undefined : Number(digits)));
  if (!match || first === 0 || second === 0) {
    throw new Error(`expected GPUs such as 8xH200, 2x8xH100 (nodes of eight) or 4x48GB, got "${text}"`);
  }
  const gpu = findGpu(match[3] as string);
  const [nodes, perNode] = second === undefined ? [1, first ?? 1] : [first ?? 1, second];
  const count = nodes * perNode;
  if (count > 1024) throw new Error(`expected at most 1024 GPUs, got ${count}`);
  return { gpu, count, perNode: second === undefined ? gpusPerNode : perNode };
}

export function findGpu(name: string): Gpu {
  const size = /^(\d+(?:\.\d+)?)G(?:i?B)?$/i.exec(name);
  if (size) return { name: `${size[1]}GB`, memoryMiB: Number(size[1]) * 1024, generation: undefined };
  const plain = (text: string) => text.toUpperCase().replaceAll(/[-_ ]|(?<=\dG)B$/g, '');
  const wanted = plain(otherNames[name.toUpperCase()] ?? name);
  const gpu = gpus.find((known) => plain(known.name) === wanted);
  if (gpu) return gpu;
  const known = gpus.map((row) => row.name).join(', ');
  throw new Error(`expected one of the GPUs ${known}, or a memory such as 8x141GB, got "${name}"`);
}
